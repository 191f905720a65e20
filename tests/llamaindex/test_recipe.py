"""The recipe runs offline, keeps its budget, and prints what its README says."""

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    from pathlib import Path

    repository = Path(__file__).parents[2]
    out = tmp_path_factory.mktemp("recipe")
    command = [sys.executable, str(repository / "recipes/llamaindex_budget"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return repository / "recipes/llamaindex_budget", out, done.stdout


def test_the_figures_are_those_of_expected_json(played):
    recipe, out, _ = played
    expected = json.loads((recipe / "expected.json").read_text())
    assert json.loads((out / "summary.json").read_text()) == expected["measured"]


def test_only_the_stock_agent_passes_the_budget(played):
    rows = {row["agent"]: row for row in json.loads((played[1] / "summary.json").read_text())}
    assert rows["stock"]["runs_over_budget"] > 0
    assert rows["guarded"]["runs_over_budget"] == rows["search agent"]["runs_over_budget"] == 0


def test_the_readme_shows_the_table_that_is_printed(played):
    recipe, _, printed = played
    table = [
        line.rstrip() for line in printed.splitlines() if line.startswith(("agent ", "stock", "guarded", "search"))
    ]
    shown = (recipe / "README.md").read_text()
    assert len(table) == 4
    assert all(line in shown for line in table)


def test_the_timelines_are_pages(played):
    for name in ("guarded", "search_agent"):
        assert "<svg" in (played[1] / f"{name}.html").read_text()


def test_the_world_is_large_enough_and_every_question_can_be_answered(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "recipes/llamaindex_budget"))
    import world

    texts = [node.get_content() for node in world.nodes()]
    asked = world.questions()
    assert len(texts) >= 40
    assert len(asked) >= 20
    for question in asked:
        for hop in question.hops:
            holding = [text for text in texts if text.startswith(hop.opening)]
            assert len(holding) == 1
            assert hop.answer in holding[0]


def test_the_ten_lines_run(repository):
    done = subprocess.run(
        [sys.executable, str(repository / "recipes/llamaindex_budget/ten_lines.py")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Enough.")
    assert "budget:tool_calls (answer), audit ok" in done.stdout
