"""Clocks that jump: the monotonic one forwards, as after a machine slept, the wall clock both ways."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Clock"]


class Clock:
    """In place of `time.monotonic`, `time.time` and `time.time_ns`, for everything that asks the module."""

    def __init__(self) -> None:
        self._monotonic, self._time, self._time_ns = time.monotonic, time.time, time.time_ns
        self.slept_s = self.moved_s = 0.0

    def real_s(self) -> float:
        """Seconds that do not jump."""
        return self._monotonic()

    def jump(self, draw: random.Random) -> None:
        """By a millisecond to a day."""
        seconds = 10.0 ** draw.uniform(-3, 5)
        if draw.random() < 0.7:
            self.slept_s += seconds
        else:
            self.moved_s += draw.choice((-1, 1)) * seconds

    @contextmanager
    def installed(self) -> Iterator["Clock"]:
        """For the time of a `with`."""
        time.monotonic = lambda: self._monotonic() + self.slept_s
        time.time = lambda: self._time() + self.slept_s + self.moved_s
        time.time_ns = lambda: self._time_ns() + int((self.slept_s + self.moved_s) * 1e9)
        try:
            yield self
        finally:
            time.monotonic, time.time, time.time_ns = self._monotonic, self._time, self._time_ns
