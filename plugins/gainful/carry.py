"""Values per turn, carried inside a reward tensor whose row sums they leave alone.

A trainer has one column for rewards, and logs, filters and validates by the row's sum. So the value of a turn stands
twice in it: plus on the turn's last token, minus on its first. Whoever knows the layout reads it back; whoever adds the
row up sees the outcome. The last turn of a row carries nothing: the outcome stands there.

The layout and its constants are ours. `gainful.advantage.carried` is the reading half.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gainful.errors import InputError

__all__ = ["LIMIT", "MARKER", "STEP", "carriable", "carry", "runs"]

LIMIT = 32.0
"""Values are clipped to +-LIMIT. Gains of all bounded kinds are far below it."""
STEP = 2.0**-14
"""Values are rounded to multiples of it, so that plus and minus cancel exactly in float32."""
MARKER = 64.0
"""Stands for a value that is missing: no value can be it."""

Runs = NDArray[np.int64]


def runs(response_mask: Sequence[int]) -> Runs:
    """[K, 2] start and end, one past the last token, of the K turns of one row: the runs of nonzero entries."""
    policy = np.concatenate([[0], np.asarray(response_mask, dtype=np.int64) != 0, [0]])
    return np.flatnonzero(np.diff(policy)).reshape(-1, 2)


def carriable(turns: Runs) -> NDArray[np.bool_]:
    """[K - 1] bool: turns before the last that have room for two numbers; one token has not."""
    before_last = turns[:-1]
    return before_last[:, 1] - before_last[:, 0] > 1


def carry(turns: Runs, values: Sequence[float | None]) -> Iterator[tuple[int, float]]:
    """Token and what to add to its reward, for the values of all turns before the last.

    Args:
        turns: [K, 2] of `runs`.
        values: [K - 1]; None for a value that is missing. It becomes `MARKER`.

    Raises:
        InputError: There is not one value for each turn before the last, or one is not finite.
    """
    if len(values) != max(len(turns) - 1, 0):
        raise InputError(
            f"carry: expected {max(len(turns) - 1, 0)} values, one per turn but the last, got {len(values)}"
        )
    for (start, end), room, value in zip(turns[:-1].tolist(), carriable(turns).tolist(), values, strict=True):
        if room:
            held = MARKER if value is None else _rounded(value)
            yield end - 1, held
            yield start, -held


def _rounded(value: float) -> float:
    if not abs(value) < float("inf"):
        raise InputError(f"carry: a value must be finite or None, got {value}")
    return round(min(max(value, -LIMIT), LIMIT) / STEP) * STEP
