"""Common to all test folders: none of them may be skipped unseen."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes says nothing about behaviour; the same examples every time make a failure repeatable
settings.register_profile("gainful", deadline=None, derandomize=True)
settings.load_profile("gainful")

REPOSITORY = Path(__file__).parents[1]
_HOST_MODULES = {"verl": "verl", "llamaindex": "llama_index", "vllm": "vllm"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of a host that is not installed, unless GAINFUL_EXPECT_HOSTS names it: then they fail."""
    expected = {name.strip() for name in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")}
    for item in items:
        host = item.path.relative_to(REPOSITORY / "tests").parts[0]
        if host in _HOST_MODULES and host not in expected and find_spec(_HOST_MODULES[host]) is None:
            item.add_marker(pytest.mark.skip(reason=f"{host} is not installed; run make test-{host}"))


@pytest.fixture
def repository() -> Path:
    return REPOSITORY
