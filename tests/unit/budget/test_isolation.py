"""What the budget core may hold and import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gainful.budget

FOLDER = Path(gainful.budget.__file__).parent
RULES = """
begin bridges charging choice controller commit costs digest feasible features finalizer guards ledger observe passages
queries question reserve scoring state steps value
"""
BLOCKED = "llama_index llama_index.core torch verl vllm workflows transformers numpy"

CODE = """
import sys
for name in {blocked!r}.split():
    sys.modules[name] = None  # importing it raises
from gainful.budget import Budget
from gainful.budget.hostile import *
from gainful.budget.controller import Controller
from gainful.budget.replay import replay
draw = seeded(7)
ran = drive(Controller(), "Who?", Budget.parse("3/500"), draw, Hostility(), lambda state: None)
assert replay(ran.report.trace).matches
ran.report.to_html(); ran.report.table()
"""


def test_a_run_needs_no_host_and_no_torch():
    code = CODE.format(blocked=BLOCKED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_clock_network_randomness_or_event_loop(path):
    allowed = {"random"} if path.stem == "hostile" else set()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    forbidden = {"time", "datetime", "random", "secrets", "uuid", "socket", "urllib", "http", "asyncio", "os", "numpy"}
    assert not found & forbidden - allowed


def test_importing_is_cheap():
    code = "import sys, gainful.budget; print(*sorted({'torch', 'numpy', 'asyncio', 'pluggy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", RULES.split())
def test_rules_hold_no_constant_but_those_of_the_config(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    numbers = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    ]
    assert set(numbers) <= {0, 1, 2}
