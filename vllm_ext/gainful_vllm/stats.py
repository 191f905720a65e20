"""Counters of both parts, for vLLM's log line and Prometheus."""

import threading
from collections import Counter

__all__ = ["Counters"]


class Counters:
    """Named sums, taken and reset once per step. Safe for threads."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1) -> None:
        """Raise one."""
        with self._lock:
            self._sums[name] += amount  # type: ignore[assignment]

    def take(self) -> dict[str, float]:
        """What came together since the last call."""
        with self._lock:
            sums, self._sums = self._sums, Counter()
        return dict(sums)
