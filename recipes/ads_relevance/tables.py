"""The figures of a run as tables: terminal, Markdown and README."""

import re
from pathlib import Path
from typing import Any

from metrics import FIGURES
from pipeline import TEACHERS
from rich.table import Table
from summary import MODELS

README = Path(__file__).with_name("README.md")
MODEL_HEADERS = ("model", *FIGURES, "parameters", "ms per pair")
DIFFERENCE_HEADERS = ("difference", *FIGURES)
_GENERATED = re.compile(r"(<!-- results: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)

Rows = list[tuple[str, ...]]


def model_rows(summary: dict[str, Any]) -> Rows:
    """A row for each model: figures with intervals, size, cost."""
    rows = []
    for name in MODELS:
        cost = summary["cost"]["teacher" if name in TEACHERS else "student"]
        cells = (_with_interval(summary["models"][name][figure]) for figure in FIGURES)
        rows.append((title(name), *cells, f"{cost['parameters']:,}", f"{cost['ms_per_pair']:.3f}"))
    return rows


def difference_rows(summary: dict[str, Any]) -> Rows:
    """A row for each comparison: first minus second."""
    return [
        (
            f"{title(record['first'])} - {title(record['second'])}",
            *(_with_interval(record[figure], sign="+") for figure in FIGURES),
        )
        for record in summary["differences"]
    ]


def title(name: str) -> str:
    """A model's name for readers."""
    return {
        "annotation student": "student of the annotations",
        "label student": "student of all labels",
        **{teacher: f"{teacher} teacher" for teacher in TEACHERS},
        **{f"{teacher} student": f"student of {teacher}" for teacher in TEACHERS},
    }[name]


def markdown(summary: dict[str, Any]) -> str:
    """Both tables, and what was run."""
    models = _markdown(MODEL_HEADERS, model_rows(summary))
    return f"{headline(summary)}\n\n{models}\n\n{_markdown(DIFFERENCE_HEADERS, difference_rows(summary))}\n"


def headline(summary: dict[str, Any]) -> str:
    """One paragraph: what was measured on what."""
    measure, test = summary["settings"]["measure"], summary["data"]["test"]
    return (
        f"{len(summary['seeds'])} seed(s), {test['pairs']} test pairs of {test['queries']} queries, {test['relevant']} "
        f"pairs relevant. Operating point: {measure['target']} of {measure['level']:g} on validation. In brackets: 95 % "
        f"intervals, {measure['resamples']} resamples of queries and seeds."
    )


def terminal(summary: dict[str, Any]) -> list[Table]:
    """Both tables for the terminal."""
    tables = []
    for headers, rows in (
        (MODEL_HEADERS, model_rows(summary)),
        (DIFFERENCE_HEADERS, difference_rows(summary)),
    ):
        table = Table(headers[0], *headers[1:])
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def write_readme(summary: dict[str, Any]) -> None:
    """Replace the generated part of the README."""
    text = README.read_text()
    README.write_text(_GENERATED.sub(lambda match: f"{match[1]}{markdown(summary)}{match[2]}", text))


def _with_interval(figure: dict[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _markdown(headers: tuple[str, ...], rows: Rows) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
