"""Common to all test folders: none of them may be skipped unseen."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes says nothing about behaviour; the same examples every time make a failure repeatable
settings.register_profile("gainful", deadline=None, derandomize=True)
settings.load_profile("gainful")

REPOSITORY = Path(__file__).parents[1]
HOST_MODULES = {"verl": "verl", "llamaindex": "llama_index", "vllm": "vllm", "stores": "obstore", "browser": "selenium"}


class MissingHost(pytest.Module):
    """Stands in for a test file whose host is not installed: one skip, with the command that runs it."""

    def collect(self):
        host = self.path.parent.name
        pytest.skip(f"{host} is not installed here; run make test-{host}")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip the files of a missing host, unless GAINFUL_EXPECT_HOSTS names it: then their imports fail."""
    host = module_path.parent.name
    expected = os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")
    if host in HOST_MODULES and host not in expected and find_spec(HOST_MODULES[host]) is None:
        return MissingHost.from_parent(parent, path=module_path)
    return None


@pytest.fixture
def repository() -> Path:
    return REPOSITORY


@pytest.fixture
def wheel_beside(repository):
    """`wheel_beside("verl")`: what a user installs does its work beside that host, from outside of this folder."""

    def check(host: str) -> None:
        command = [sys.executable, ".ci/wheel_smoke.py", "--here", host]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(f"ok      {host}: ")

    return check


@pytest.fixture
def interruptible():
    """What a shell runs in the background ignores interrupts, and hands that down; here and in children they count."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
