"""An interpreter where a third party's plug-ins were really installed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"
COMMANDS = Path(__file__).parents[2] / ".ci"


@pytest.fixture(scope="session")
def script():
    """`script("release")`: a command of .ci as a module."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, COMMANDS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def acme_folder(tmp_path_factory):
    """Where pip put all of ACME's plug-ins, once."""
    folder = tmp_path_factory.mktemp("acme")
    sources = [str(path.parent) for path in sorted(FIXTURES.glob("acme_*/pyproject.toml"))]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), *sources], check=True, capture_output=True)
    return folder


@pytest.fixture
def with_acme(tmp_path, acme_folder):
    """Runs Python with these arguments where ACME's plug-ins are installed, in a copy of its own: status, output."""
    shutil.copytree(acme_folder, tmp_path, dirs_exist_ok=True)

    def run(*arguments, **variables):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200", **variables}
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout + done.stderr

    return run
