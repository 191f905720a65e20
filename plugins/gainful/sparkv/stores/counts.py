"""What a store holds and what was done with it."""

import threading
from dataclasses import dataclass, replace

__all__ = ["Counter", "StoreStat"]


@dataclass(frozen=True, slots=True)
class StoreStat:
    """What a store holds, and what this object did with it. None where the engine behind it does not say."""

    num_entries: int | None = None
    num_bytes: int | None = None
    capacity_bytes: int | None = None
    num_leased: int = 0
    """Entries that leases of this object hold; one that two leases hold counts twice."""
    read_bytes: int = 0
    written_bytes: int = 0
    num_misses: int = 0
    """Entries that were gone after they had been acquired."""


class Counter:
    """A `StoreStat` to which any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stat = StoreStat()
        """As it is now."""

    def add(self, **increments: int) -> None:
        """By field."""
        with self._lock:
            changed = {name: getattr(self.stat, name) + by for name, by in increments.items()}
            self.stat = replace(self.stat, **changed)
