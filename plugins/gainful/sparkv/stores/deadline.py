"""A point in time that every wait of a call respects."""

import time
from dataclasses import dataclass

from gainful.errors import InputError, StoreTimeoutError

__all__ = ["Deadline"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """Made once per call; everything the call does is given the same one."""

    at: float
    """Seconds of the monotonic clock."""
    max_seconds: float
    """What the caller asked for, for messages."""

    @classmethod
    def after(cls, max_seconds: float) -> "Deadline":
        """That many seconds from now; `InputError` unless the number is finite."""
        if not 0.0 <= max_seconds < float("inf"):
            raise InputError(f"max_seconds must be a finite number >= 0, got {max_seconds}; no call may wait for ever")
        return cls(time.monotonic() + max_seconds, max_seconds)

    def remaining(self) -> float:
        """Seconds left, at least zero."""
        return max(0.0, self.at - time.monotonic())

    def check(self, doing: str) -> float:
        """Seconds left; `StoreTimeoutError` if there are none."""
        seconds = self.remaining()
        if seconds <= 0.0:
            raise StoreTimeoutError(f"{doing}: not done within {self.max_seconds:g} s")
        return seconds
