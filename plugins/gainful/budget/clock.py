"""Elapsed time from the clock readings that a host passes in. Nothing here reads a clock."""

import math

from gainful.budget.axes import MICRO
from gainful.errors import InputError

__all__ = ["Stopwatch"]

_LATEST_SECONDS = MICRO * MICRO  # no clock has run that long, and larger numbers would overflow


class Stopwatch:
    """Integer microseconds of a run. A clock that jumps back stands still; a stopped watch does not run.

    Only the elapsed time is worth storing: a reading means nothing in another process, so a watch that was restored
    runs on from the first reading it gets.
    """

    __slots__ = ("_base", "_elapsed", "_since", "stopped")

    def __init__(self, elapsed: int = 0) -> None:
        self._elapsed = self._base = elapsed
        self._since: float | None = None
        self.stopped = False

    def peek(self, now: float | None) -> int:
        """Elapsed microseconds at the reading `now`, in seconds; None means at the last reading."""
        if now is None or self._since is None or self.stopped:
            return self._elapsed
        return max(self._elapsed, self._base + round((_checked(now) - self._since) * MICRO))

    def read(self, now: float | None) -> int:
        """Take a reading and return the elapsed microseconds."""
        if now is None:
            return self._elapsed
        elapsed = self.peek(now)
        went_back = self._since is not None and _checked(now) < self._since + (self._elapsed - self._base) / MICRO
        if self._since is None or self.stopped or went_back:
            self._base, self._since = elapsed, _checked(now)
        self._elapsed = elapsed
        return elapsed

    def stop(self, now: float) -> None:
        """Stop counting, for example while a human is asked."""
        self.read(now)
        self.stopped = True

    def go_on(self, now: float) -> None:
        """Count again from the reading `now`."""
        self.read(now)
        self.stopped = False


def _checked(now: float) -> float:
    if not (math.isfinite(now) and abs(now) <= _LATEST_SECONDS):
        raise InputError(f"budget: now must be a finite reading of a monotonic clock in seconds, got {now!r}")
    return now
