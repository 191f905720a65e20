"""What is written about a finished comparison: table, summary, verdict, and one HTML page."""

import argparse
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sections
from analysis import Arm, difference, figures, signed, verdict
from execute import device, read_result
from intervals import Bootstrap, Interval
from plan import Comparison
from rich.console import Console
from rich.table import Table
from settings import HERE, Settings, digest
from tuning import CRITERION

HEADERS = (
    *("method", "pass@1", "pass@256", "pass@256 - GRPO", "pass@256 - base"),
    *("pass@16", "distinct right", "distinct - GRPO", "entropy", "all wrong", "net advantage"),
)
_OF_TRAINING = ("all_wrong_share", "net_advantage")
_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"


def write(compared: Sequence[Comparison], settings: Settings, options: argparse.Namespace, console: Console) -> None:
    """Print the table and the verdict; write table.md, summary.json and index.html."""
    arms = [as_arm(comparison, options.out) for comparison in compared]
    summary = summarise(arms, compared, settings, options)
    lines = rows(summary)
    for columns in (slice(1, 5), slice(5, None)):
        console.print(as_rich(lines, columns, settings.family))
    for clause in clauses(summary):
        console.print(clause, highlight=False, markup=False)
    text = as_markdown(lines, summary)
    (options.out / "table.md").write_text(text)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    sections.write(options.out / "index.html", arms, summary, lines, HEADERS)
    if options.publish:
        publish(text, summary)


def as_arm(comparison: Comparison, out: Path) -> Arm:
    run = comparison.runs[0]
    parts = [f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in run.options.items()]
    if run.method:
        parts.insert(0, f"learning rate {run.learning_rate:g}")
    results = tuple(read_result(run.file(out)) for run in comparison.runs)
    return Arm(comparison.key, comparison.label, ", ".join(parts), results)


def summarise(
    arms: Sequence[Arm], compared: Sequence[Comparison], settings: Settings, options: argparse.Namespace
) -> dict[str, Any]:
    """Everything that is reported, as JSON values."""
    by_key = {arm.key: arm for arm in arms}
    bootstrap = Bootstrap(len(settings.seeds), settings.evaluate.num_problems, num_resamples=settings.num_bootstrap)
    base, grpo, agpo = (by_key[key] for key in ("base", "grpo", "agpo"))
    return {
        "settings": settings.model_dump(),
        "settings_hash": digest(settings.model_dump()),
        "tuned_hash": digest(json.loads(options.tuned.read_text())),
        "criterion": CRITERION,
        "verdict": [
            {"clause": clause.text, "verdict": clause.verdict, "measured": signed(clause.interval)}
            for clause in verdict(agpo, grpo, base, bootstrap)
        ],
        "arms": {
            arm.key: {
                "label": arm.label,
                "settings": arm.settings,
                "is_sweep": comparison.is_sweep,
                "figures": _rounded(figures(arm, bootstrap)),
                "pass@256 - grpo": _round(difference(arm, grpo, 256, bootstrap)),
                "pass@256 - base": _round(difference(arm, base, 256, bootstrap)),
                "pass@1 - grpo": _round(difference(arm, grpo, 1, bootstrap)),
                "distinct - grpo": _round(bootstrap.interval(arm.distinct() - grpo.distinct())),
            }
            for arm, comparison in zip(arms, compared, strict=True)
        },
        "seconds_of_all_runs": round(sum(sum(result["seconds"].values()) for arm in arms for result in arm.results)),
        "versions": {name: version(name) for name in ("gainful", "torch", "numpy")},
        "machine": f"{device()}, Python {platform.python_version()}",
    }


def _rounded(values: dict[str, Interval]) -> dict[str, list[float]]:
    return {name: _round(interval) for name, interval in values.items()}


def _round(interval: Interval) -> list[float]:
    return [round(value, 4) for value in interval]


def rows(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table's lines, in the order of HEADERS."""
    return [_row(arm) for arm in summary["arms"].values()]


def _row(arm: dict[str, Any]) -> tuple[str, ...]:
    known = arm["figures"]
    passes = [str(Interval(*known[f"pass@{k}"])) for k in (1, 256)]
    gaps = [signed(Interval(*arm[f"pass@256 - {other}"])) for other in ("grpo", "base")]
    distinct_gap = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*arm["distinct - grpo"])
    middle = (_mean(known, "pass@16", 3), _mean(known, "distinct", 2), distinct_gap, _mean(known, "entropy", 2))
    return (arm["label"], *passes, *gaps, *middle, *(_mean(known, name, 3) for name in _OF_TRAINING))


def _mean(known: dict[str, list[float]], name: str, num_digits: int) -> str:
    """Empty for a figure that a base does not have."""
    return f"{known[name][0]:.{num_digits}f}" if name in known else ""


def clauses(summary: dict[str, Any]) -> list[str]:
    """The claim about AGPO, clause by clause."""
    return ["{verdict}: {clause}; measured {measured}".format(**clause) for clause in summary["verdict"]]


def as_rich(lines: Sequence[tuple[str, ...]], columns: slice, family: str) -> Table:
    """Names and some of the columns, for the terminal."""
    table = Table(title=f"Held-out problems of the {family} family; 95 % intervals", title_justify="left")
    table.add_column("method", no_wrap=True)
    for header in HEADERS[columns]:
        table.add_column(header, justify="right")
    for line in lines:
        table.add_row(line[0], *line[columns])
    return table


def as_markdown(lines: Sequence[tuple[str, ...]], summary: dict[str, Any]) -> str:
    """The table, the settings of each method and the verdict."""
    table = [HEADERS, ("---", *["---:"] * (len(HEADERS) - 1)), *lines]
    parts = ["\n".join(f"| {' | '.join(line)} |" for line in table)]
    parts.append("\n".join(f"- {clause}" for clause in clauses(summary)))
    tuned = [f"{a['label']}: {a['settings']}" for a in summary["arms"].values() if a["settings"] and not a["is_sweep"]]
    parts.append("As tuned. " + "; ".join(tuned) + ".")
    parts.append(f"Settings {summary['settings_hash']}, tuned values {summary['tuned_hash']}, {_origin(summary)}.")
    return "\n\n".join(parts) + "\n"


def _origin(summary: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in summary["versions"].items())
    return f"seeds {summary['settings']['seeds']}, {summary['machine']}, {versions}"


def publish(text: str, summary: dict[str, Any]) -> None:
    """Renew `results.json` and the table in README.md."""
    (HERE / "results.json").write_text(json.dumps(summary, indent=1) + "\n")
    readme = (HERE / "README.md").read_text()
    before, rest = readme.split(_BEGIN)
    (HERE / "README.md").write_text(f"{before}{_BEGIN}\n{text}{_END}{rest.split(_END)[1]}")
