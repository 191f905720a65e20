"""A file of scored rows in a few figures."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from gainful.infogain.records import BeliefSummary, MissingMark, ScoredRow, read_lines

__all__ = ["summarize"]

_TURNS = 8
"""Gains are listed for the first turns only."""


class _Mean:
    """Of known values; None without one."""

    def __init__(self) -> None:
        self.num_known = 0
        self._sum = 0.0

    def add(self, value: float | MissingMark) -> None:
        if not isinstance(value, MissingMark):
            self.num_known += 1
            self._sum += value

    def __call__(self) -> float | None:
        return self._sum / self.num_known if self.num_known else None


def summarize(target: Path) -> dict[str, Any]:
    """Counts, means, missing values and cost of all rows of a file; the same for the same rows.

    Means are over what is known, and `missing_rate` says how much is not. A gain of kind `log` was smoothed where the
    gold mass is 0 or 1.
    """
    gains, totals, rewards = _Mean(), _Mean(), _Mean()
    by_turn = [_Mean() for _ in range(_TURNS)]
    missing: Counter[str] = Counter()
    use: Counter[str] = Counter()
    with target.open("rb") as lines:
        for _, row in read_lines(target, lines, ScoredRow):
            use.update(_counts(row))
            use["turns"] = max(use["turns"], len(row.gains))
            missing.update(row.missing())
            totals.add(row.total)
            rewards.add(row.reward)
            for turn, gain in enumerate(row.gains):
                gains.add(gain)
                if turn < _TURNS:
                    by_turn[turn].add(gain)
    num_gains = use["gains"]
    return {
        "trajectories": use["rows"],
        "gains": num_gains,
        "gain_mean": gains(),
        "gain_mean_by_turn": [mean() for mean in by_turn[: use["turns"]]],
        "negative_rate": use["negative"] / gains.num_known if gains.num_known else None,
        "total_mean": totals(),
        "reward_mean": rewards(),
        "missing_rate": sum(missing.values()) / num_gains if num_gains else 0.0,
        "missing": dict(sorted(missing.items())),
        "smoothing_used": use["smoothed"],
        "judge_forwards": use["forwards"],
        "judge_cache_hits": use["cache_hits"],
        "reference_forwards": use["reference_forwards"],
    }


def _counts(row: ScoredRow) -> dict[str, int]:
    known = [belief for belief in row.beliefs if isinstance(belief, BeliefSummary)]
    return {
        "rows": 1,
        "gains": len(row.gains),
        "negative": sum(not isinstance(gain, MissingMark) and gain < 0 for gain in row.gains),
        "smoothed": sum(belief.gold_mass in (0.0, 1.0) for belief in known) if row.kind == "log" else 0,
        "forwards": row.judge.forwards,
        "cache_hits": row.judge.cache_hits,
        "reference_forwards": row.judge.reference_forwards,
    }


def as_json(summary: dict[str, Any]) -> str:
    """A summary as it is written to a file."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"
