"""An interpreter where a third party's plug-in was really installed."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def with_acme(tmp_path, repository):
    """Runs Python with these arguments where ACME's plug-ins are pip-installed: status, output."""
    sources = [str(repository / "tests/fixtures" / name) for name in ("acme_gainful", "acme_budget")]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path), *sources], check=True, capture_output=True)

    def run(*arguments, **variables):
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200", **variables}
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout + done.stderr

    return run
