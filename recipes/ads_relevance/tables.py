"""The figures of a run as tables: terminal, Markdown and README."""

import re
from pathlib import Path
from statistics import fmean
from typing import Any

from metrics import FIGURES
from pipeline import TEACHERS
from rich.table import Table
from summary import MODELS

README = Path(__file__).with_name("README.md")
MODEL_HEADERS = ("model", *FIGURES)
DIFFERENCE_HEADERS = ("difference", *FIGURES)
VERDICT = "Where the 95 % interval of a difference leaves out zero:"
_GENERATED = re.compile(r"(<!-- results: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)

Rows = list[tuple[str, ...]]


def model_rows(summary: dict[str, Any]) -> Rows:
    """A row for each model."""
    return [(title(name), *(_with_interval(summary["models"][name][figure]) for figure in FIGURES)) for name in MODELS]


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
        "annotation student": "student of annotations",
        "label student": "student of all labels",
        **{teacher: f"{teacher} teacher" for teacher in TEACHERS},
        **{f"{teacher} student": f"student of {teacher}" for teacher in TEACHERS},
    }[name]


def markdown(summary: dict[str, Any]) -> str:
    """Both tables, and what was measured and seen, in words."""
    models = _markdown(MODEL_HEADERS, model_rows(summary))
    differences = _markdown(DIFFERENCE_HEADERS, difference_rows(summary))
    verdicts = "\n".join(f"- {sentence}" for sentence in verdict(summary))
    texts = (headline(summary), models, differences, f"{VERDICT}\n\n{verdicts}", groups(summary), cost(summary))
    return "\n\n".join(texts) + "\n"


def headline(summary: dict[str, Any]) -> str:
    """One paragraph: what was measured on what."""
    measure, test = summary["settings"]["measure"], summary["data"]["test"]
    return (
        f"Seeds {', '.join(map(str, summary['seeds']))}; {test['pairs']} test pairs of {test['queries']} queries, "
        f"{test['relevant']} pairs relevant. Operating point: {measure['target']} of {measure['level']:g} on "
        f"validation. In brackets: 95 % intervals, {measure['resamples']} resamples of queries and seeds."
    )


def cost(summary: dict[str, Any]) -> str:
    """One paragraph: sizes and times."""
    teacher, student = summary["cost"]["teacher"], summary["cost"]["student"]
    votes, seconds = summary["settings"]["annotate"]["votes"], summary["cost"]["seconds"]
    training = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return (
        f"A teacher has {teacher['parameters']:,} parameters and takes {teacher['ms_per_pair']:.2f} ms a pair with "
        f"{votes} votes; a student has {student['parameters']:,} and takes {student['ms_per_pair']:.4f} ms. Training "
        f"of one seed: {training}."
    )


def verdict(summary: dict[str, Any]) -> list[str]:
    """A sentence for each comparison: on which figures the interval leaves out zero, and which way."""
    sentences = []
    for record in summary["differences"]:
        clear = [name for name in FIGURES if _is_clear(record[name])]
        first, second = title(record["first"]), title(record["second"])
        told = ", ".join(f"{'higher' if record[name]['mean'] > 0 else 'lower'} {name}" for name in clear)
        sentences.append(f"{first} against {second}: {told or 'not told apart'}.")
    return sentences


def _is_clear(figure: dict[str, Any]) -> bool:
    if figure["mean"] is None:
        return False
    low, high = figure["interval"]
    return low * high > 0


def groups(summary: dict[str, Any]) -> str:
    """One paragraph: how often a group of RL had nothing right, or nothing that tells its answers apart."""

    def means(figure: str) -> str:
        curves = summary["training"].items()
        return ", ".join(f"{name} {fmean(curve[figure]):.3f}" for name, curve in curves)

    return (
        f"Groups of RL without a right grade, mean share over all steps: {means('all_wrong')}. Groups whose rewards "
        f"are all equal: {means('silent')}."
    )


def terminal(summary: dict[str, Any]) -> list[Table]:
    """Both tables for the terminal."""
    tables = []
    for headers, rows in (
        (MODEL_HEADERS, model_rows(summary)),
        (DIFFERENCE_HEADERS, difference_rows(summary)),
    ):
        table = Table(*headers)
        for row in rows:
            table.add_row(*row)
        tables.append(table)
    return tables


def write_readme(summary: dict[str, Any]) -> None:
    """Replace the generated part of the README."""
    text = README.read_text()
    README.write_text(_GENERATED.sub(lambda match: f"{match[1]}{markdown(summary)}{match[2]}", text))


def _with_interval(figure: dict[str, Any], sign: str = "") -> str:
    if figure["mean"] is None:
        return "undefined"
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _markdown(headers: tuple[str, ...], rows: Rows) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
