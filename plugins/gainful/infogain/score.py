"""Gains of saved trajectories, without a trainer: a stream in, a stream out, to be continued where it stopped."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from gainful.errors import ConfigError, InputError
from gainful.infogain.assess import Inquiry, measure, reading_of, run_all
from gainful.infogain.belief import shannon
from gainful.infogain.completions import CompletionsProbe, evidence_prompt
from gainful.infogain.config import GainOptions
from gainful.infogain.gain import Reading, fixed_baseline_gains, trajectory_reward, turn_gains
from gainful.infogain.judges import SharedJudge
from gainful.infogain.records import (
    MAX_LINE_BYTES,
    BeliefRecord,
    BeliefSummary,
    JudgeUse,
    MissingMark,
    ScoredRow,
    Trajectory,
    marked,
    read_lines,
)
from gainful.infogain.types import AnswerSample, Asking, Missing, Value

__all__ = ["MissingUnderFailError", "Scored", "score_file", "score_trajectories"]

BATCH = 256
"""Trajectories whose pairs go to the judge together; it does not change any value (ours)."""

_ROW_START = b'{"id":"'

OnMissing = Literal["keep", "fail"]
Samples = Sequence[AnswerSample] | Missing


class MissingUnderFailError(InputError):
    """A gain is missing and the caller asked for none to be."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A trajectory with everything that was found out about it."""

    trajectory: Trajectory
    samples: tuple[Samples, ...]
    readings: tuple[Reading, ...]
    row: ScoredRow


def score_trajectories(
    trajectories: Sequence[Trajectory],
    judge: SharedJudge,
    options: GainOptions,
    probe: CompletionsProbe | None = None,
) -> list[Scored]:
    """Score trajectories together, so that their pairs share the judge's batches.

    Raises:
        InputError: A trajectory has no beliefs and there is no probe to measure them.
    """
    samples = _recorded(trajectories) if probe is None else asyncio.run(_drawn(trajectories, options, probe))
    inquiries = [
        Inquiry(trajectory.question, _readings(trajectory, drawn, options), options.judge.exact_shortcut)
        for trajectory, drawn in zip(trajectories, samples, strict=True)
    ]
    run_all(inquiries, judge)
    return [
        Scored(trajectory, drawn, inquiry.result(), _row(trajectory, drawn, inquiry, judge.name, options))
        for trajectory, drawn, inquiry in zip(trajectories, samples, inquiries, strict=True)
    ]


def score_file(
    source: Path,
    target: Path,
    judge: SharedJudge,
    options: GainOptions,
    *,
    probe: CompletionsProbe | None = None,
    on_missing: OnMissing = "keep",
    on_progress: Callable[[int, int], None] = lambda done_bytes, num_rows: None,
) -> int:
    """Score every trajectory of a JSONL file that is not in the target yet; returns how many that were.

    Rows come in the order of the input. A target that was left unfinished is continued: its last line is dropped if it
    was cut, and what is in it is not scored again.

    Args:
        source: Trajectories, `records.Trajectory` a line.
        target: Rows, `records.ScoredRow` a line.
        judge: Who compares answers.
        options: What is measured.
        probe: Measures the beliefs of trajectories that have none.
        on_missing: `fail` ends before the first row with a missing gain.
        on_progress: Called after each batch with the bytes of input read so far and the rows written.

    Raises:
        InputError: A line is not a trajectory, or an id comes twice; names file and line.
        ConfigError: The target was written with other options, or is the source.
        MissingUnderFailError: With `fail`.
    """
    if target.exists() and target.samefile(source):
        raise ConfigError(f"--out: must be another file than --in, got {target} for both")
    finished = _finished(target, options.config_hash)
    num_rows = 0
    with source.open("rb") as lines, target.open("ab") as rows:
        readable = _checked(source, lines, can_probe=probe is not None)
        pending = (trajectory for trajectory in readable if trajectory.id not in finished)
        while batch := list(islice(pending, BATCH)):
            for scored in score_trajectories(batch, judge, options, probe):
                if on_missing == "fail":
                    _refuse_missing(scored.row)
                rows.write(scored.row.model_dump_json().encode() + b"\n")
                num_rows += 1
            rows.flush()
            on_progress(lines.tell(), num_rows)
    return num_rows


def _checked(path: Path, lines: BinaryIO, *, can_probe: bool) -> Iterator[Trajectory]:
    """Trajectories that can be scored, with ids that differ."""
    first: dict[str, int] = {}
    for number, trajectory in read_lines(path, lines, Trajectory):
        if first.setdefault(trajectory.id, number) != number:
            raise InputError(
                f"{path}, line {number}: id {trajectory.id!r} was used in line {first[trajectory.id]}; ids must differ"
            )
        if trajectory.beliefs is None and not can_probe:
            raise InputError(f"{path}, line {number}: has no beliefs; add them, or let --probe-url measure them")
        yield trajectory


def _finished(target: Path, config_hash: str) -> set[str]:
    """Ids of the rows that are there already; a row that was cut is taken off, anything else is left as it is."""
    if not target.exists():
        return set()
    ids = set()
    with target.open("r+b") as rows:
        end, rest = _last_line_end(rows)
        for number, row in read_lines(target, rows, ScoredRow, end=end):
            if row.config_hash != config_hash:
                raise ConfigError(
                    f"{target}, line {number}: was written with other options ({row.config_hash}, now {config_hash}); "
                    "write to another file, or repeat the options"
                )
            ids.add(row.id)
        if rest != _ROW_START[: len(rest)]:
            raise InputError(f"{target}: must be new, or hold rows of an earlier run, but its last line is none")
        rows.truncate(end)
    return ids


def _last_line_end(rows: BinaryIO) -> tuple[int, bytes]:
    """Where the last whole line ends, and how the cut one after it begins; leaves the file at its start."""
    size = rows.seek(0, os.SEEK_END)
    tail_start = rows.seek(max(0, size - MAX_LINE_BYTES))
    tail = rows.read(MAX_LINE_BYTES)
    end = tail_start + tail.rfind(b"\n") + 1
    rows.seek(0)
    return end, tail[end - tail_start :][: len(_ROW_START)]


def _refuse_missing(row: ScoredRow) -> None:
    for turn, gain in enumerate(row.gains, 1):
        if isinstance(gain, MissingMark):
            raise MissingUnderFailError(f"trajectory {row.id!r}: the gain of turn {turn} is missing: {gain.missing}")


def _recorded(trajectories: Sequence[Trajectory]) -> list[tuple[Samples, ...]]:
    """Samples of each belief [K + 1] of each trajectory, from the file."""
    for trajectory in trajectories:
        if trajectory.beliefs is None:
            raise InputError(f"trajectory {trajectory.id!r}: has no beliefs; add them, or let a probe measure them")
    return [_of_records(trajectory.beliefs or ()) for trajectory in trajectories]


def _of_records(records: Sequence[BeliefRecord | None]) -> tuple[Samples, ...]:
    return tuple(Missing("probe_failed", "not measured") if record is None else record.samples for record in records)


async def _drawn(
    trajectories: Sequence[Trajectory], options: GainOptions, probe: CompletionsProbe
) -> list[tuple[Samples, ...]]:
    """Like `_recorded`; what is not in the file is probed, all at the same time."""

    async def one(trajectory: Trajectory) -> tuple[Samples, ...]:
        if trajectory.beliefs is not None:
            return _of_records(trajectory.beliefs)
        prompts = _prompts(trajectory)
        return tuple(await asyncio.gather(*(probe.sample(p, options.samples, options.seed) for p in prompts)))

    return await asyncio.gather(*map(one, trajectories))


def _prompts(trajectory: Trajectory) -> list[str]:
    """Question and evidence before any turn, and after each."""
    turns = trajectory.turns
    return [
        evidence_prompt(trajectory.question, [text for turn in turns[:count] for text in turn.documents])
        for count in range(len(turns) + 1)
    ]


def _readings(trajectory: Trajectory, samples: Sequence[Samples], options: GainOptions) -> Asking[tuple[Reading, ...]]:
    readings = []
    for place, drawn in enumerate(samples):
        record = trajectory.beliefs[place] if trajectory.beliefs else None
        readings.append(
            (yield from reading_of(drawn, trajectory.gold, options, _gold_logprob(record, trajectory.gold)))
        )
    return tuple(readings)


def _gold_logprob(record: BeliefRecord | None, gold: Sequence[str]) -> Value:
    """Of the likeliest alias."""
    if not gold:
        return Missing("no_gold")
    if record is None or record.gold_logprob is None:
        return Missing("probe_failed", "no gold_logprob")
    return max(record.gold_logprob)


def _row(
    trajectory: Trajectory,
    samples: Sequence[Samples],
    inquiry: Inquiry[tuple[Reading, ...]],
    judge: str,
    options: GainOptions,
) -> ScoredRow:
    path = [measure(reading, options) for reading in inquiry.result()]
    gains = turn_gains(path)
    values = gains.values if options.increments == "telescoping" else fixed_baseline_gains(path)
    outcome = Missing("no_outcome") if trajectory.outcome is None else trajectory.outcome
    reward = trajectory_reward(outcome, path, weight=options.weight, form=options.form, increments=options.increments)
    return ScoredRow(
        id=trajectory.id,
        kind=options.kind,
        gains=tuple(map(marked, values)),
        reward_to_go=tuple(map(marked, gains.reward_to_go)),
        total=marked(gains.total),
        reward=marked(reward),
        beliefs=tuple(_summary(reading, options) for reading in inquiry.result()),
        judge=JudgeUse(
            name=judge,
            forwards=inquiry.num_forwards,
            cache_hits=inquiry.num_cache_hits,
            reference_forwards=_reference_forwards(samples),
        ),
        config_hash=options.config_hash,
    )


def _summary(reading: Reading, options: GainOptions) -> BeliefSummary | MissingMark:
    if isinstance(reading.belief, Missing):
        return MissingMark(missing=reading.belief.reason)
    no_gold = isinstance(reading.gold_mass, Missing) and reading.gold_mass.reason == "no_gold"
    return BeliefSummary(
        classes=len(reading.belief.p),
        entropy=shannon(reading.belief, miller_madow=options.entropy_bias == "miller_madow"),
        gold_mass=None if no_gold else marked(reading.gold_mass),
    )


def _reference_forwards(samples: Sequence[Samples]) -> int:
    """R^2 for the first and for the last set; none without a search, which the source does not score."""
    if len(samples) == 1:
        return 0
    return sum(len(drawn) ** 2 for drawn in (samples[0], samples[-1]) if not isinstance(drawn, Missing))
