"""The HTML page: curves with bands, intervals of all methods, the sweep, training curves, answers, settings."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis import Arm
from evaluate import KS
from report.charts import Line, Range, heat_map, line_chart, range_chart
from report.page import Cell, Chart, Code, Figures, Section, Table, write_page

SMOOTHING_STEPS = 9
COLORS = {"base": "#8a8f98", "grpo": "#d07a1c", "agpo": "#2f80e0", "nsr": "#2a9d6f", "psr": "#b5487d"}
OTHER_COLOR = "#8a7fd0"
DASHES = {"base": "-", "grpo": "--", "agpo": "-", "nsr": "-.", "psr": ":"}

Rows = Sequence[tuple[str, ...]]


def write(file: Path, arms: Sequence[Arm], summary: dict[str, Any], lines: Rows, headers: Sequence[str]) -> None:
    """Write the page to `file`."""
    result = Section(
        title="How much is solved, and how much stays within reach",
        lead=(
            "A tiny transformer solves number puzzles in several ways, most of them rarely. From the same base, on the "
            "same prompts and with equally many samples, it was trained with each method."
        ),
        blocks=(
            _verdict(summary),
            _table(lines, headers, slice(1, 5), "Differences are paired by seed and problem."),
            Figures((_pass_chart(summary), *_range_charts(summary), *_sweep_charts(summary))),
            _table(lines, headers, slice(5, None), _caption(summary)),
        ),
    )
    training = Section(
        title="During training",
        lead="Means over seeds. Faint lines are single steps, strong ones a moving average.",
        blocks=(Figures(_step_charts(arms)),),
    )
    answers = Section(
        title="Answers",
        lead="Held-out problems of the first seed with the first sampled answers; right ones are marked.",
        blocks=(_examples(arms), *_settings(summary)),
    )
    write_page(file, "gainful: the boundary laboratory", [result, training, answers])


def _verdict(summary: dict[str, Any]) -> Table:
    rows = tuple(tuple(map(Cell, clause.values())) for clause in summary["verdict"])
    return Table(("the claim about AGPO", "verdict", "measured"), rows, "The first three judge the mean.")


def _table(lines: Rows, headers: Sequence[str], columns: slice, caption: str) -> Table:
    """The method and some of the columns."""
    rows = tuple(tuple(map(Cell, (line[0], *line[columns]))) for line in lines)
    return Table((headers[0], *headers[columns]), rows, caption)


def _caption(summary: dict[str, Any]) -> str:
    evaluate, seeds = summary["settings"]["evaluate"], summary["settings"]["seeds"]
    return (
        f"Both tables: means over {len(seeds)} seeds and {evaluate['num_problems']} held-out problems per seed; 95 % "
        "intervals of a bootstrap over seeds and over problems within seeds. Distinct right: different right answers "
        f"among {evaluate['num_samples']} samples. Entropy: nats per token. All wrong: share of training groups "
        "without a right answer; net advantage: mean over responses; both are means over the training."
    )


def _pass_chart(summary: dict[str, Any]) -> Chart:
    arms = {key: summary["arms"][key] for key in COLORS if key in summary["arms"]}
    svg = line_chart(
        "Pass at k",
        [_pass_line(key, arm) for key, arm in arms.items()],
        x_label="k, answers per problem",
        y_label="pass@k",
        y_top=1.03,
        x_ticks=KS,
    )
    return Chart(svg, "pass@k", "Chance that at least one of k answers is right, unbiased estimate; bands are 95 %.")


def _pass_line(key: str, arm: dict[str, Any]) -> Line:
    mean, low, high = zip(*(arm["figures"][f"pass@{k}"] for k in KS), strict=True)
    return Line(arm["label"], KS, mean, COLORS[key], dash=DASHES[key], band=(low, high))


def _range_charts(summary: dict[str, Any]) -> tuple[Chart, ...]:
    arms = {key: arm for key, arm in summary["arms"].items() if not arm["is_sweep"]}
    charts = []
    for k in (1, 256):
        ranges = [
            Range(arm["label"], *arm["figures"][f"pass@{k}"], color=COLORS.get(key, OTHER_COLOR))
            for key, arm in arms.items()
        ]
        svg = range_chart(f"All methods at {k}", ranges, x_label=f"pass@{k}", mark=ranges[0].mean)
        charts.append(Chart(svg, f"pass@{k} of all methods", "Dotted: the base."))
    for figure, title in (("pass@256", "pass@256"), ("distinct", "Different right answers")):
        gaps = [
            Range(arm["label"], *arm[f"{figure} - grpo"], color=COLORS.get(key, OTHER_COLOR))
            for key, arm in arms.items()
            if key not in ("base", "grpo")
        ]
        svg = range_chart(f"{figure} against GRPO", gaps, x_label=f"{title} minus GRPO's", mark=0.0)
        charts.append(Chart(svg, f"{title} against GRPO", "Paired; right of the line is more than GRPO."))
    return tuple(charts)


def _sweep_charts(summary: dict[str, Any]) -> tuple[Chart, ...]:
    deltas, rewards = summary["settings"]["sweep_delta"], summary["settings"]["sweep_negative_reward"]
    charts = []
    for k in (1, 256):
        values = [
            [summary["arms"][f"agpo δ={delta:g} R={reward:g}"]["figures"][f"pass@{k}"][0] for delta in deltas]
            for reward in rewards
        ]
        svg = heat_map(
            f"Sweep at {k}",
            values,
            rows=[f"{reward:g}" for reward in rewards],
            columns=[f"{delta:g}" for delta in deltas],
            x_label="delta",
            y_label="R",
        )
        charts.append(Chart(svg, f"AGPO: pass@{k} by delta and R", "At AGPO's tuned learning rate."))
    return tuple(charts)


def _step_charts(arms: Sequence[Arm]) -> tuple[Chart, ...]:
    shown = [arm for arm in arms if arm.key in COLORS and arm.key != "base"]
    names = {
        "reward": ("Training reward", "share of right answers"),
        "entropy": ("Entropy", "nats per token"),
        "all_wrong_share": ("All-wrong groups", "share of groups"),
    }
    return tuple(_step_chart(shown, name, *texts) for name, texts in names.items())


def _step_chart(arms: Sequence[Arm], name: str, title: str, y_label: str) -> Chart:
    lines = []
    for arm in arms:
        values = arm.curve(name)
        steps = range(1, len(values) + 1)
        lines.append(Line(arm.label, steps, smoothed(values), COLORS[arm.key], dash=DASHES[arm.key], faint=values))
    svg = line_chart(f"{title} by step", lines, x_label="training step", y_label=y_label)
    return Chart(svg, title, f"Training batches; mean of {SMOOTHING_STEPS} steps around.")


def smoothed(values: Sequence[float]) -> list[float]:
    """Centred moving average; the window shrinks at both ends."""
    half = SMOOTHING_STEPS // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _examples(arms: Sequence[Arm]) -> Table:
    shown = [arm for arm in arms if arm.key in ("base", "grpo", "agpo")]
    columns = [arm.results[0]["examples"] for arm in shown]
    rows = tuple(
        (Cell(same[0]["problem"]), *(Cell(marks=tuple(map(tuple, one["answers"]))) for one in same))
        for same in zip(*columns, strict=True)
    )
    return Table(("problem", *(arm.label for arm in shown)), rows, "Calculated from left to right.")


def _settings(summary: dict[str, Any]) -> tuple[Code, ...]:
    tuned = "\n".join(f"{arm['label']}: {arm['settings']}" for arm in summary["arms"].values())
    origin = {name: summary[name] for name in ("settings_hash", "tuned_hash", "machine", "versions", "criterion")}
    return (
        Code("Options and learning rates", tuned),
        Code("Settings", json.dumps({**origin, **summary["settings"]}, indent=1)),
        Code("Command", "python recipes/boundary_lab"),
    )
