"""The sections of the page: figures, curves, training, example pairs, settings."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import tables
from data import Parts
from pipeline import STUDENTS, TEACHERS, SeedRun
from report.charts import Line, line_chart
from report.page import Cell, Chart, Code, Figures, Section, Table, Text
from reward import read_grade
from summary import RECALLS
from train import METHODS

COLORS = {"base": "#8a8f98", "grpo": "#d07a1c", "agpo": "#2f80e0", "annotation": "#b0568f", "label": "#3d9a5b"}
DASHES = {"base": ":", "grpo": "--", "agpo": "-", "annotation": "-.", "label": "-."}
EXAMPLES_OF_EACH_GRADE = 3
SMOOTHING_STEPS = 9
STEP_CHARTS = (
    ("reward", "Mean reward", "Of the batch, before its update."),
    ("silent", "Groups with equal rewards", "GRPO learns nothing from them, AGPO does where all are wrong."),
    ("all_wrong", "Groups without a right grade", "A near miss still tells their answers apart."),
)
"""Figure, title and caption."""


def sections(summary: dict[str, Any], parts: Parts, run: SeedRun) -> list[Section]:
    """All sections; the examples come from `run`."""
    return [_figures(summary), _curves(summary), _training(summary), _examples(parts, run), _settings(summary)]


def _figures(summary: dict[str, Any]) -> Section:
    data, accuracy = summary["data"], summary["teachers"]
    exact = ", ".join(f"{name} {accuracy[name]['exact_share']:.3f}" for name in TEACHERS)
    unanimous = ", ".join(f"{name} {accuracy[name]['unanimous_share']:.3f}" for name in TEACHERS)
    return Section(
        "Teachers and students",
        "A tiny generative teacher learns to grade query-ad pairs, from cheap annotations and then by reward. Its "
        "votes on unlabelled pairs teach a student that writes nothing.",
        (
            Text(f"{tables.headline(summary)} {tables.cost(summary)}"),
            Text(f"{tables.VERDICT} {' '.join(tables.verdict(summary))}"),
            _table(tables.MODEL_HEADERS, tables.model_rows(summary), "Mean over seeds."),
            _table(tables.DIFFERENCE_HEADERS, tables.difference_rows(summary), "Paired: the same queries and seeds."),
            Text(
                f"Cheap annotation and label agree on {data['annotation_is_label']:.3f} of the supervised pairs. Share "
                f"of single answers with the exact grade, test part: {exact}. Share of pairs on which all votes of a "
                f"teacher agree: {unanimous}. Where a teacher always agrees with itself its scores have few levels, "
                "and an operating point can be far from its target."
            ),
        ),
    )


def _curves(summary: dict[str, Any]) -> Section:
    groups = (("Teachers", TEACHERS), ("Students", STUDENTS))
    return Section(
        "Precision and recall",
        "Test part, mean over seeds: the precision at the first threshold that reaches a recall.",
        (Figures(tuple(_curve_chart(title, names, summary["curves"]) for title, names in groups)),),
    )


def _curve_chart(title: str, names: Sequence[str], curves: dict[str, list[float]]) -> Chart:
    lines = [_line(name, (100 * RECALLS).tolist(), [100 * value for value in curves[name]]) for name in names]
    svg = line_chart(f"{title}: precision by recall", lines, x_label="recall, %", y_label="precision, %", y_top=103)
    return Chart(svg, title, "Equal scores are shown together, so a curve may start with a flat piece.")


def _training(summary: dict[str, Any]) -> Section:
    charts = tuple(_step_chart(*chart, summary["training"]) for chart in STEP_CHARTS)
    return Section(
        "Reinforcement learning",
        "One base, the same prompts; only the advantage differs. Mean over seeds, smoothed.",
        (Figures(charts), Text(tables.groups(summary))),
    )


def _step_chart(figure: str, title: str, caption: str, training: dict[str, Any]) -> Chart:
    lines = []
    for method in METHODS:
        values = training[method][figure]
        lines.append(_line(method, list(range(1, len(values) + 1)), _smoothed(values)))
    return Chart(line_chart(title, lines, x_label="training step", y_label=title.lower()), title, caption)


def _smoothed(values: list[float]) -> list[float]:
    """Centred moving average; the window shrinks at both ends."""
    half = SMOOTHING_STEPS // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def _examples(parts: Parts, run: SeedRun) -> Section:
    max_grade = run.setting.plan.data.max_grade
    of_grade = (np.flatnonzero(parts.test["label"] == grade) for grade in range(max_grade, -1, -1))
    rows = np.concatenate([some[:EXAMPLES_OF_EACH_GRADE] for some in of_grade])
    answers = {name: run.example_answers(name, rows) for name in TEACHERS}
    lines = []
    for i, pair in enumerate(parts.test.iloc[rows].itertuples()):
        cells = (_marks(answers[name][i], pair.label, max_grade) for name in TEACHERS)
        lines.append((Cell(pair.query), Cell(pair.ad), Cell(str(pair.label)), *cells))
    table = Table(
        ("query", "ad", "label", *TEACHERS), tuple(lines), "Sampled answers; those with the exact grade are marked."
    )
    return Section("Example pairs", f"Test pairs and what the teachers of seed {run.seed} write.", (table,))


def _marks(texts: list[str], label: int, max_grade: int) -> Cell:
    return Cell(marks=tuple((text, read_grade(text, max_grade) == label) for text in texts))


def _settings(summary: dict[str, Any]) -> Section:
    keys = ("settings", "seeds", "data", "versions", "cost")
    codes = tuple(Code(key, json.dumps(summary[key], indent=2)) for key in keys)
    return Section("Settings", "Equal for GRPO and AGPO. The values are ours, not those of the AGPO paper.", codes)


def _table(headers: tuple[str, ...], rows: tables.Rows, caption: str) -> Table:
    return Table(headers, tuple(tuple(Cell(text) for text in row) for row in rows), caption)


def _line(name: str, x: list[float], y: list[float]) -> Line:
    kind = name.split()[0]
    return Line(tables.title(name), x, y, COLORS[kind], dash=DASHES[kind])
