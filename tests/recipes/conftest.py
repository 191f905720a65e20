"""Recipes are programs, not packages: they are run as a user runs them, or asked in a fresh interpreter."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def run_recipe(repository):
    """`run_recipe("boundary_lab", "--quick")`: standard output of the command; its errors are shown if it fails."""

    def run(name, *arguments, timeout=300):
        command = [sys.executable, str(repository / "recipes" / name), *map(str, arguments)]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    return run


@pytest.fixture
def ask_recipe(repository):
    """`ask_recipe("boundary_lab", "import task; answer = task.f()")`: what the code leaves in `answer`."""

    def ask(name, code, timeout=300):
        path = f"import sys; sys.path[:0] = [{str(repository / 'recipes')!r}, {str(repository / 'recipes' / name)!r}]"
        program = f"{path}\n{code}\nimport json; print(json.dumps(answer))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return ask
