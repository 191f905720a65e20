"""Host memory for what has come and is not yet the engine's: bounded over all requests."""

import threading
import time
from collections.abc import Callable

__all__ = ["ByteBudget"]

LOOK_SECONDS = 0.05


class ByteBudget:
    """Bytes that may be held at once. Safe for threads."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._changed = threading.Condition()

    @property
    def held_bytes(self) -> int:
        """Taken and not given back."""
        return self._held_bytes

    def try_take(self, num_bytes: int) -> bool:
        """Take them if they are there."""
        with self._changed:
            return self._take(num_bytes)

    def take(self, num_bytes: int, until: float, wanted: Callable[[], bool]) -> bool:
        """Wait for them until a time of the monotonic clock, or until nobody wants them any more."""
        with self._changed:
            while not self._take(num_bytes):
                seconds = until - time.monotonic()
                if seconds <= 0.0 or not wanted():
                    return False
                self._changed.wait(min(seconds, LOOK_SECONDS))
            return True

    def give_back(self, num_bytes: int) -> None:
        """What was taken."""
        with self._changed:
            self._held_bytes -= num_bytes
            self._changed.notify_all()

    def _take(self, num_bytes: int) -> bool:
        fits = self._held_bytes + num_bytes <= self._capacity_bytes
        if fits:
            self._held_bytes += num_bytes
        return fits
