"""The section on search agents: one small world, one budget, with and without a guard. Played by its own recipe."""

import json
from pathlib import Path

from environments import ROOT, python_of
from markupsafe import Markup
from report.page import Cell, Fragment, Section, Table, Text
from rich.table import Table as RichTable

RECIPE = ROOT / "recipes/llamaindex_budget"
TIMELINES = (("guarded", "The stock agent, guarded"), ("search_agent", "The budgeted search agent"))
HEADERS = ("agent", "right", "searches, mean", "most", "output tokens, mean", "most", "runs over budget")


def command(out: Path) -> tuple[str, ...]:
    """The program that plays all questions and writes figures and timelines to `out`."""
    return (str(python_of("llamaindex")), str(RECIPE), "--out", str(out))


def rows(out: Path) -> list[tuple[str, ...]]:
    """One row per agent."""
    return [
        (
            row["agent"],
            f"{row['right']}/{row['questions']}",
            f"{row['searches_mean']:.2f}",
            str(row["searches_max"]),
            f"{row['tokens_mean']:.1f}",
            str(row["tokens_max"]),
            str(row["runs_over_budget"]),
        )
        for row in json.loads((out / "summary.json").read_text())
    ]


def table(out: Path) -> RichTable:
    """The table for the terminal."""
    shown = RichTable(*HEADERS, title="Search agents under a budget of 3 searches and 300 output tokens")
    for row in rows(out):
        shown.add_row(*row)
    return shown


def section(out: Path) -> Section:
    """The section of the page."""
    return Section(
        title="Search agents under a hard budget",
        lead=(
            "Real LlamaIndex agents answered multi-hop questions over a small invented world, with a scripted model. "
            "The budget is three searches and 300 output tokens a question."
        ),
        blocks=(
            Text(
                "Read the table for its last column. The stock agent knows no budget and passes it whenever a question "
                "takes longer; the same agent under guard() never does, and answers from what it has. The script tells "
                "both the right next query for free and the search agent only if it pays for a proposal, so the first "
                "column does not compare agents, and it says nothing about a real model."
            ),
            Table(HEADERS, tuple(tuple(map(Cell, row)) for row in rows(out)), "Counted from what model and tools saw."),
            *(
                Fragment(title, Markup((out / f"{name}.fragment.html").read_text()))  # noqa: S704  (escaped by its writer)
                for name, title in TIMELINES
            ),
        ),
    )
