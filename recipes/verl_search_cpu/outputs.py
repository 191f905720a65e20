"""The page, and the table on the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from plan import ARMS
from report.charts import Line, line_chart
from report.page import Cell, Chart, Figures, Section, Table, Text, write_page
from rich.table import Table as RichTable

COLORS = {"outcome": "#8a8f98", "turn": "#2f80e0", "sum": "#d07a1c", "stock": "#2a9d62"}
HEADERS = (
    "arm",
    "EM before",
    "EM after",
    "difference at the end",
    "difference on average",
    "searches",
    "s/step",
    "extra",
)
PROBES = {
    "gain, first search": "gain_turn_1",
    "gain, second": "gain_turn_2",
    "gain, third": "gain_turn_3",
    "missing rate": "missing_rate",
    "judge forwards": "judge_forwards",
    "2R² a trajectory": "judge_reference_2R2",
    "times fewer": "judge_saving",
}
"""What the terminal says about probes: label -> measure; the page has all of them."""


def rows(arms: Mapping[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """A line per arm."""
    return [
        (
            ARMS[name].title,
            f"{one['em_before']:.3f}",
            f"{one['em_after']:.3f}",
            _interval(one["em_after_difference"]),
            _interval(one["em_mean_difference"]),
            f"{one['searches_before']:.2f} -> {one['searches_after']:.2f}",
            f"{one['step_seconds_median']:.2f}",
            f"{one['extra_step_time']:+.0%}",
        )
        for name, one in arms.items()
    ]


def _interval(values: Sequence[float]) -> str:
    mean, low, high = values
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def terminal_table(arms: Mapping[str, dict[str, Any]]) -> RichTable:
    """Arms as columns, so that eighty characters are enough."""
    table = RichTable("", *arms)
    for label, values in zip(HEADERS[1:], list(zip(*rows(arms), strict=True))[1:], strict=True):
        table.add_row(label, *(value.replace(" [", "\n[") for value in values))
    for label, name in PROBES.items():
        if any(name in one["probes"] for one in arms.values()):
            table.add_row(label, *(_number(one["probes"].get(name)) for one in arms.values()))
    return table


def curves(
    name: str, key: str, runs: Mapping[str, Sequence[dict[str, Any]]], y_label: str, y_top: float | None
) -> Chart:
    """Means over seeds at each validation."""
    lines = []
    for arm, summaries in runs.items():
        steps = [record["step"] for record in summaries[0]["validations"]]
        by_step = [[summary["validations"][i][key] for summary in summaries] for i in range(len(steps))]
        band = ([min(values) for values in by_step], [max(values) for values in by_step])
        means = [fmean(values) for values in by_step]
        lines.append(Line(ARMS[arm].title, steps, means, COLORS[arm], marker="o", band=band))
    svg = line_chart(name, lines, x_label="training step", y_label=y_label, y_top=y_top)
    return Chart(
        svg, y_label, "Held-out questions; lines are means over seeds, areas reach from the lowest to the highest."
    )


def probe_table(arms: Mapping[str, dict[str, Any]]) -> Table | Text:
    names = sorted({name for one in arms.values() for name in one["probes"]})
    if not names:
        return Text("No arm of this comparison probes.")
    cells = tuple(
        (Cell(name.replace("_", " ")), *(Cell(_number(one["probes"].get(name))) for one in arms.values()))
        for name in names
    )
    return Table(
        ("measure", *(ARMS[name].title for name in arms)),
        cells,
        "Sums over all runs of an arm, or means over its updates.",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def write(file: Path, arms: Mapping[str, dict[str, Any]], runs: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """The page about a comparison."""
    table = Table(
        HEADERS,
        tuple(tuple(Cell(text) for text in row) for row in rows(arms)),
        "Differences from the first arm, paired by seed and question, with 95 % intervals.",
    )
    lead = "Stock verl trains a tiny policy to find answers that take two searches. The arms differ in one option."
    charts = Figures(
        (
            curves("em", "em", runs, "exact match", 1.0),
            curves("searches", "searches", runs, "searches per question", None),
        )
    )
    cost = Section("Gains and their cost", "What the probes measured, and what measuring took.", (probe_table(arms),))
    note = Text(
        "A model and a task this small say nothing about large ones: what is shown is that it runs, and what it costs."
    )
    write_page(file, "Information gain in stock verl", [Section("Exact match", lead, (charts, table, note)), cost])
