"""The section on training: AGPO and stock GRPO from one base model, as measured in this run."""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import comb, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from report.charts import Line, line_chart
from report.page import Cell, Chart, Code, Figures, Section, Table, Text
from rich.table import Table as RichTable

RECIPE = Path(__file__).resolve().parent.parent / "verl_agpo_cpu" / "train.py"
SMOOTHING_STEPS = 9
LAST_STEPS = 5
NUM_EXAMPLES = 10
NUM_ANSWERS_SHOWN = 6
COLORS = {"agpo": "#2f80e0", "grpo": "#d07a1c"}
BASE_COLOR = "#8a8f98"


HEADERS = (
    "model",
    "training reward",
    "pass@1",
    "pass@4",
    "pass@16",
    "distinct right",
    "all wrong",
    "seconds",
)


@dataclass(frozen=True)
class Arm:
    """One training run of the demo."""

    estimator: str
    title: str
    out: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """An arm that has been run, and its summary."""

    arm: Arm
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        return self.arm.estimator


@dataclass(frozen=True)
class Measure:
    """A figure that both runs have; `per_problem` gives its value on one held-out problem."""

    name: str
    per_problem: Callable[[dict[str, int]], float]


def _wrong(counts: dict[str, int]) -> int:
    return counts["num_samples"] - counts["num_correct"]


MEASURES = (
    Measure("pass@1", lambda counts: counts["num_correct"] / counts["num_samples"]),
    Measure("pass@16", lambda counts: 1.0 - comb(_wrong(counts), 16) / comb(counts["num_samples"], 16)),
    Measure("distinct right answers", lambda counts: counts["num_distinct_correct"]),
)


def arms(out: Path, *, steps: int, seed: int) -> list[Arm]:
    """The runs of the demo: equal but for the estimator."""
    every = max(2, steps // 3)
    titles = {"agpo": "AGPO (gainful)", "grpo": "GRPO (verl)"}
    return [
        Arm(
            estimator=name,
            title=title,
            out=out / name,
            command=(
                *(sys.executable, str(RECIPE), "--estimator", name, "--steps", str(steps), "--seed", str(seed)),
                *("--validate-every", str(every), "--save-every", str(steps)),
                *("--out", str(out / name), "--bases", str(out / "bases"), "--overwrite"),
            ),
        )
        for name, title in titles.items()
    ]


def settings(out: Path) -> dict[str, int]:
    """Steps and seed of the runs that are in `out`, as `arms` takes them."""
    summary = json.loads((out / "agpo" / "summary.json").read_text())
    return {"steps": summary["num_steps"], "seed": summary["seed"]}


def load(runs: list[Arm]) -> list[Result]:
    """Read the summaries that the runs wrote."""
    return [Result(arm, json.loads((arm.out / "summary.json").read_text())) for arm in runs]


def difference(first: Result, second: Result, measure: Measure) -> tuple[float, float]:
    """Mean difference, first minus second, over the held-out problems, and half its 95 % interval.

    The interval covers the choice of problems and the sampling of answers. It does not cover the seed of training.
    """
    ours, theirs = (result.summary["after"]["problems"] for result in (first, second))
    gaps = [measure.per_problem(ours[problem]) - measure.per_problem(theirs[problem]) for problem in ours]
    return fmean(gaps), 1.96 * stdev(gaps) / sqrt(len(gaps))


def verdict(first: Result, second: Result) -> str:
    """One sentence per measure: who is ahead, by how much, and whether the problems at hand can tell."""
    sentences = []
    for measure in MEASURES:
        gap, margin = difference(first, second, measure)
        leader, other = (first, second) if gap > 0 else (second, first)
        size = f"{abs(gap):.3f} (95 % interval of the difference ±{margin:.3f})"
        if gap == 0:
            sentences.append(f"On {measure.name} the two are equal.")
        elif abs(gap) > margin:
            sentences.append(f"On {measure.name} {leader.name} ends ahead of {other.name} by {size}.")
        else:
            sentences.append(f"On {measure.name} {leader.name} ends higher by {size}: not told apart by this run.")
    return " ".join(sentences)


def rows(results: list[Result]) -> list[tuple[str, ...]]:
    """The table of figures: a row for the base, a row for each run."""
    curve = results[0].summary["training"]
    lines = [("base", _reward(curve[:LAST_STEPS]), *_validated(results[0].summary["before"]), "", "")]
    for result in results:
        curve, seconds = result.summary["training"], result.summary["seconds"]
        all_wrong = fmean(point["all_wrong_share"] for point in curve)
        figures = (_reward(curve[-LAST_STEPS:]), *_validated(result.summary["after"]))
        lines.append((result.name, *figures, f"{all_wrong:.3f}", f"{seconds['verl_run']:.0f}"))
    return lines


def _reward(points: list[dict[str, float]]) -> str:
    return f"{fmean(point['reward_mean'] for point in points):.3f}"


def _validated(record: dict[str, Any]) -> tuple[str, ...]:
    passes = (record["pass_at"][k] for k in ("1", "4", "16"))
    return (*(f"{value:.3f}" for value in passes), f"{record['distinct_correct_mean']:.2f}")


def table(results: list[Result]) -> RichTable:
    """The table for the terminal."""
    shown = RichTable(*HEADERS, title="pass@k and distinct right answers are for held-out problems")
    for line in rows(results):
        shown.add_row(*line)
    return shown


def section(results: list[Result]) -> Section:
    """The section of the page."""
    first, second = results
    summary = first.summary
    before = summary["before"]
    return Section(
        title="Training: AGPO beside GRPO",
        lead=(
            "Stock verl trained one tiny model twice on this machine's CPU. Task, base model, seed, number of steps "
            "and every setting are equal; only the advantage estimator differs."
        ),
        blocks=(
            Text(
                "The task: write three digits that add up to a target, without using a forbidden digit. The prompt "
                "“14 no 8” has “9+4+1” among its right answers. The reward is 1 for a right answer and 0 for any "
                f"other. Figures below are for {before['num_problems']} held-out problems with "
                f"{before['num_samples_per_problem']} sampled answers each, unless they say “training”."
            ),
            Text(
                f"{verdict(first, second)} The intervals cover the choice of problems and answers, not the luck of a "
                f"training run. This is one seed ({summary['seed']}), one tiny model and one easy task: "
                "it shows that the estimators run and learn in real verl, not which one is better elsewhere."
            ),
            Table(
                HEADERS,
                tuple(tuple(Cell(text) for text in line) for line in rows(results)),
                f"Training reward: mean of the last {LAST_STEPS} steps, for the base of the first {LAST_STEPS}. "
                "Distinct right: mean number of different right answers among the sampled ones. All-wrong: "
                "share of training groups without a right answer, mean over the run. Seconds: the whole verl run, "
                "start of Ray and validations included.",
            ),
            Figures((_reward_chart(results), _pass_at_k_chart(results), *_step_charts(results))),
            _examples(results),
            *_settings(results),
        ),
    )


def _reward_chart(results: list[Result]) -> Chart:
    lines = []
    for result in results:
        curve = result.summary["training"]
        rewards = [point["reward_mean"] for point in curve]
        steps = [point["step"] for point in curve]
        lines.append(_line(result, steps, smoothed(rewards), marker="", faint=rewards))
    svg = line_chart("Training reward", lines, x_label="training step", y_label="mean reward", y_top=1.0)
    return Chart(svg, "Training reward", f"Faint: each step's batch. Strong: mean of {SMOOTHING_STEPS} steps around.")


def smoothed(values: list[float]) -> list[float]:
    """Centred moving average; the window shrinks at both ends."""
    half = SMOOTHING_STEPS // 2
    return [fmean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def _pass_at_k_chart(results: list[Result]) -> Chart:
    before = results[0].summary["before"]["pass_at"]
    ks = [int(k) for k in before]
    lines = [Line("base", ks, list(before.values()), BASE_COLOR, dash=":", marker="o")]
    lines += [_line(result, ks, list(result.summary["after"]["pass_at"].values())) for result in results]
    svg = line_chart("Pass at k", lines, x_label="k, answers per problem", y_label="pass@k", y_top=1.03, x_ticks=ks)
    return Chart(svg, "pass@k before and after", "Chance that at least one of k answers is right, unbiased estimate.")


def _step_charts(results: list[Result]) -> tuple[Chart, ...]:
    def over_steps(value: Callable[[dict[str, Any]], float]) -> list[Line]:
        return [
            _line(
                result, [v["step"] for v in result.summary["validations"]], [*map(value, result.summary["validations"])]
            )
            for result in results
        ]

    charts = []
    for k in ("1", "16"):
        lines = over_steps(lambda record, k=k: record["pass_at"][k])
        svg = line_chart(f"Pass at {k} by step", lines, x_label="training step", y_label=f"pass@{k}", y_top=1.03)
        charts.append(Chart(svg, f"pass@{k} over training", "Held-out problems; step 0 is the base."))
    lines = over_steps(lambda record: record["distinct_correct_mean"])
    svg = line_chart("Distinct right answers by step", lines, x_label="training step", y_label="distinct right answers")
    charts.append(Chart(svg, "Diversity over training", "Different right answers per held-out problem."))
    lines = [
        _line(
            result,
            [point["step"] for point in result.summary["training"]],
            smoothed([point["all_wrong_share"] for point in result.summary["training"]]),
            marker="",
        )
        for result in results
    ]
    svg = line_chart("All-wrong groups by step", lines, x_label="training step", y_label="share of groups")
    charts.append(
        Chart(
            svg,
            "All-wrong training groups",
            f"Under GRPO these carry no signal, under AGPO they do. Mean of {SMOOTHING_STEPS} steps around.",
        )
    )
    return tuple(charts)


def _line(result: Result, x: list[float], y: list[float], marker: str = "o", faint: list[float] = ()) -> Line:
    dash = "-" if result.name == "agpo" else "--"
    return Line(result.name, x, y, COLORS[result.name], dash=dash, marker=marker, faint=faint)


def _examples(results: list[Result]) -> Table:
    """A few held-out problems, evenly taken, with the first answers of base and trained models."""
    last_step = results[0].summary["after"]["step"]
    columns = [
        _answers(results[0].arm.out, 0),
        *(_answers(result.arm.out, last_step) for result in results),
    ]
    problems = sorted(columns[0], key=lambda text: int(text.split()[0]))
    chosen = problems[:: max(1, len(problems) // NUM_EXAMPLES)][:NUM_EXAMPLES]
    return Table(
        ("problem", "base", *(result.name for result in results)),
        tuple((Cell(problem), *(Cell(marks=tuple(column[problem])) for column in columns)) for problem in chosen),
        f"The first {NUM_ANSWERS_SHOWN} sampled answers to {len(chosen)} held-out problems; right ones are marked.",
    )


def _answers(out: Path, step: int) -> dict[str, list[tuple[str, bool]]]:
    """Problem -> first answers, each with whether it is right."""
    answers = defaultdict(list)
    for line in (out / "validation" / f"{step}.jsonl").read_text().splitlines():
        row = json.loads(line)
        answers[row["gts"]].append((row["output"], row["score"] > 0))
    return {problem: given[:NUM_ANSWERS_SHOWN] for problem, given in answers.items()}


def _settings(results: list[Result]) -> tuple[Code, ...]:
    """Versions, and the exact commands."""
    summary = results[0].summary
    versions = "\n".join(f"{name} {number}" for name, number in summary["versions"].items())
    settings = f"seed {summary['seed']}\nsteps {summary['num_steps']}\nbase model {summary['base']}\n\n{versions}"
    commands = tuple(
        Code(
            f"Command: {result.name}",
            f"{_as_shell(result.summary['environment'])}{result.summary['command']}\n\n"
            f"# all of the above is done by\n{' '.join(result.arm.command)}",
        )
        for result in results
    )
    return (Code("Settings and versions", settings), *commands)


def _as_shell(environment: dict[str, str]) -> str:
    return "".join(f"{name}={value} \\\n" for name, value in environment.items())
