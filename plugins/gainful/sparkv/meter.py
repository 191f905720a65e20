"""Transfers that share a link, measured as one: bytes over the time in which any of them ran."""

import threading

__all__ = ["TransferMeter"]

MIN_SECONDS = 1e-4
"""Shorter periods are kept until more is there: clocks and schedulers make them meaningless (ours)."""
STALL_SECONDS = 1.0
"""A link that gave nothing for so long is a sample of its own, or an outage would not show while it lasts (ours)."""


class TransferMeter:
    """Threads say when a transfer begins and ends; `take` gives samples for a `LinkEstimator`. Safe for threads.

    A transfer counts when it ends, or is given up with what had arrived by then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self._bytes = 0
        self._seconds = 0.0

    def begin(self, now: float) -> None:
        """A transfer was asked for."""
        with self._lock:
            self._advance(now)
            self._running += 1

    def end(self, num_bytes: int, now: float) -> None:
        """A transfer is over: the bytes that came."""
        with self._lock:
            self._advance(now)
            self._running -= 1
            self._bytes += num_bytes

    def take(self, now: float) -> tuple[int, float] | None:
        """Bytes and seconds since the last call; None if they are too few to say anything."""
        with self._lock:
            self._advance(now)
            if self._seconds < (MIN_SECONDS if self._bytes else STALL_SECONDS):
                return None
            sample = (self._bytes, self._seconds)
            self._bytes, self._seconds = 0, 0.0
            return sample

    def _advance(self, now: float) -> None:
        if self._running:
            self._seconds += max(0.0, now - self._since)
        self._since = now
