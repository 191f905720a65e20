"""The notebooks of the recipe, cell by cell, as a kernel would run them."""

import ast
import asyncio
import inspect
import json
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes/llamaindex_budget"
NOTEBOOKS = sorted(RECIPE.glob("*.ipynb"))


async def play(path):
    """Run all code cells in one namespace; top-level `await` is allowed, as it is in a notebook."""
    names = {"__name__": "__main__"}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)  # noqa: S307  (our own notebooks)
            if inspect.isawaitable(result):
                await result
    return names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(RECIPE))
    names = asyncio.run(play(path))
    printed = capsys.readouterr().out
    assert "No answer: " not in printed
    assert printed.count("\n") >= 3
    assert "budget" in printed or "account" in printed
    if "out" in names and hasattr(names["out"], "report"):
        assert names["out"].report.audit_ok
        assert "<section" in names["out"].report._repr_html_()


def test_there_is_one_notebook_per_adapter_and_none_holds_outputs():
    assert [path.stem for path in NOTEBOOKS] == ["guard", "query_engine", "search_agent"]
    for path in NOTEBOOKS:
        assert all(not cell.get("outputs") for cell in json.loads(path.read_text())["cells"])
