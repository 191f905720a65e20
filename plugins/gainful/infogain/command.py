"""What `gainful score` does, once its arguments are parsed."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gainful.errors import ConfigError
from gainful.infogain.completions import CompletionsProbe
from gainful.infogain.config import GainOptions, read_options
from gainful.infogain.judges import SharedJudge, make_judge
from gainful.infogain.page import scored_html
from gainful.infogain.records import Trajectory, read_lines
from gainful.infogain.score import OnMissing, score_file, score_trajectories
from gainful.infogain.summary import as_json, summarize

__all__ = ["ScoreJob", "read_settings", "run"]


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Files and options of one call."""

    source: Path
    target: Path
    options: GainOptions
    summary: Path | None = None
    html: Path | None = None
    html_rows: int = 20
    on_missing: OnMissing = "keep"


def read_settings(given: Mapping[str, str | None], settings: Sequence[str]) -> GainOptions:
    """Options from dotted names; `settings` are texts `name=value`, their values JSON or else plain texts.

    Raises:
        ConfigError: A setting without `=`, an unknown name or an impossible value.
    """
    section: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            _put(section, name, value)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set: expected name=value, such as judge.threshold=0.7, got {setting!r}")
        _put(section, name, _json_or_text(text))
    return read_options(section, where="gainful score")


def _put(section: dict[str, Any], dotted: str, value: object) -> None:
    *groups, name = dotted.split(".")
    for group in groups:
        section = section.setdefault(group, {})
        if not isinstance(section, dict):
            raise ConfigError(f"--set: {dotted!r} names an option within {group!r}, which was set to a value before")
    section[name] = value


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def run(job: ScoreJob, on_progress: Callable[[int, int], None]) -> str:
    """Score, then write summary and page where they are asked for; returns a few lines on what was done.

    Raises:
        GainfulError: See `score_file`.
    """
    _check_files(job)
    judge = make_judge(job.options.judge)
    probe = CompletionsProbe(job.options) if job.options.probe.endpoint_url else None
    try:
        num_rows = score_file(
            job.source,
            job.target,
            judge,
            job.options,
            probe=probe,
            on_missing=job.on_missing,
            on_progress=on_progress,
        )
        asked = judge.num_forwards
        if job.html:
            job.html.write_text(_page(job, judge, probe), encoding="utf-8")
    finally:
        judge.close()
    summary = summarize(job.target)
    if job.summary:
        job.summary.write_text(as_json(summary), encoding="utf-8")
    return _report(summary, num_rows, asked)


def _check_files(job: ScoreJob) -> None:
    """Nothing that is written may take the place of something that is read, or of something else that is written."""
    files = [path.resolve() for path in (job.source, job.target, job.summary, job.html) if path]
    if len(set(files)) < len(files):
        raise ConfigError(f"gainful score: --in, --out, --summary and --html must be different files, got {files}")


def _page(job: ScoreJob, judge: SharedJudge, probe: CompletionsProbe | None) -> str:
    """The first trajectories are scored once more: rows do not hold answers, and the judge remembers its values.

    A probe draws once more too, so where it is not deterministic the page shows other samples than the rows.
    """
    with job.source.open("rb") as lines:
        shown = [trajectory for _, trajectory in islice(read_lines(job.source, lines, Trajectory), job.html_rows)]
    return scored_html(score_trajectories(shown, judge, job.options, probe))


def _report(summary: Mapping[str, Any], num_rows: int, asked: int) -> str:
    def number(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.4f}"

    by_turn = ", ".join(map(number, summary["gain_mean_by_turn"])) or "none"
    missing = ", ".join(f"{reason} {count}" for reason, count in summary["missing"].items()) or "none"
    return "\n".join(
        [
            f"{summary['trajectories']} trajectories, {num_rows} of them scored now",
            f"mean gain {number(summary['gain_mean'])}; by turn: {by_turn}",
            f"mean reward {number(summary['reward_mean'])}",
            f"missing gains: {missing} (rate {summary['missing_rate']:.4f})",
            f"judge forwards {summary['judge_forwards']}, of which asked now {asked}; all pairs would be "
            f"{summary['reference_forwards']}",
        ]
    )
