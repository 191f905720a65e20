"""Who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HOSTS = {"gainful_verl": "verl", "gainful_llamaindex": "llama_index", "gainful_vllm": "vllm"}
ADAPTERS = {name: next(REPOSITORY.glob(f"*/{name}")) for name in HOSTS}
CORE = REPOSITORY / "plugins/gainful"
SUBJECTS = ("advantage", "policy_loss", "infogain", "budget", "sparkv", "retrieval")
NEEDS_TORCH = (
    "advantage",
    "policy_loss",
    "testing/advantage.py",
    "sparkv/codec",
    "sparkv/coder.py",
    "testing/__init__.py",
    "doctor/probes.py",  # in a function, where torch is there
)


def imports_of(path):
    """Top level names of all imports in a file, and full names of those from gainful."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def files(folder):
    return sorted(folder.rglob("*.py"))


def roots(path):
    return {name.partition(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", files(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_core_imports_no_host_and_no_adapter(path):
    forbidden = {"verl", "vllm", "llama_index", "ray", "omegaconf", "hydra", "transformers", *ADAPTERS}
    assert not roots(path) & forbidden
    relative = str(path.relative_to(CORE))
    if not relative.startswith(NEEDS_TORCH):
        assert "torch" not in roots(path)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_subjects_of_the_core_do_not_import_each_other(subject):
    others = {f"gainful.{other}" for other in SUBJECTS if other != subject}
    for path in files(CORE / subject):
        assert not {name for name in imports_of(path) if any(name.startswith(other) for other in others)}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_import_no_other_host_and_no_other_adapter(adapter):
    others = {name for name in (*HOSTS, *HOSTS.values()) if name not in (adapter, HOSTS[adapter])}
    for path in files(ADAPTERS[adapter]):
        assert not roots(path) & others


def test_nobody_imports_a_module_called_tests():
    for folder in (CORE, *ADAPTERS.values(), REPOSITORY / "tests", REPOSITORY / "recipes"):
        for path in files(folder):
            assert "tests" not in roots(path), path


def test_package_folders_hold_one_package_and_nothing_else():
    for package in (CORE, *ADAPTERS.values()):
        beside = {path.name for path in package.parent.iterdir()} - {"__pycache__"}
        assert beside == {package.name}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import gainful", {"torch", "numpy", "pydantic", "pluggy", "verl", "vllm"}),
        ("import gainful; gainful.build_catalog", {"torch", "verl"}),
        ("import gainful.retrieval", {"torch", "numpy", "bm25s", "aiohttp"}),
        ("import gainful_vllm; gainful_vllm.register(); gainful_vllm.register()", {"torch", "pydantic", "vllm"}),
        ("import gainful_verl, gainful_llamaindex", {"torch", "pydantic"}),
    ],
)
def test_importing_is_cheap(statement, unwanted):
    code = f"import sys; {statement}; print(*sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
