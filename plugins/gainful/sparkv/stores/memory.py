"""memory://: entries in this process, for tests and demos, and for a connector whose halves share a process."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from pydantic import PositiveInt

from gainful.config import Options
from gainful.errors import StoreFullError
from gainful.sparkv.stores.base import Found, Store, StoreStat
from gainful.sparkv.stores.deadline import Deadline

__all__ = ["MemoryOptions", "MemoryStore"]


class MemoryOptions(Options):
    """Of `memory://NAME`: stores of one name share their entries, `memory://` shares with nobody."""

    capacity_bytes: PositiveInt = 1 << 30
    """Most bytes that the entries take."""


@dataclass(eq=False)
class _Shelf:
    """Entries, longest unused first; `num_leases` counts by key."""

    entries: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    num_leases: dict[str, int] = field(default_factory=dict)
    num_bytes: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make_room(self, target_bytes: int) -> int:
        """Drop what is not leased, longest unused first, until `target_bytes` are left; bytes dropped."""
        before = self.num_bytes
        for key in [key for key in self.entries if key not in self.num_leases]:
            if self.num_bytes <= target_bytes:
                break
            self.drop(key)
        return before - self.num_bytes

    def drop(self, key: str) -> None:
        self.num_bytes -= len(self.entries.pop(key, b""))


_SHELVES: WeakValueDictionary[str, _Shelf] = WeakValueDictionary()
_SHELVES_LOCK = threading.Lock()


class MemoryStore(Store):
    """A dictionary. What is read refers to the stored bytes and stays valid whatever happens to the entry."""

    def __init__(self, name: str = "", options: MemoryOptions | None = None) -> None:
        super().__init__()
        self._capacity_bytes = (options or MemoryOptions()).capacity_bytes
        with _SHELVES_LOCK:
            self._shelf = _SHELVES.setdefault(name, _Shelf()) if name else _Shelf()

    def _find(self, keys: Sequence[str], deadline: Deadline) -> list[Found]:
        shelf = self._shelf
        with shelf.lock:
            found: list[Found] = []
            for key in keys:
                if key in shelf.entries:
                    shelf.entries.move_to_end(key)
                    shelf.num_leases[key] = shelf.num_leases.get(key, 0) + 1
                    found.append((len(shelf.entries[key]), (key, shelf.entries[key])))
                else:
                    found.append(None)
            return found

    def _fetch(self, handle: tuple[str, bytes], key: str, begin: int, end: int, deadline: Deadline) -> memoryview:
        return memoryview(handle[1])[begin:end]

    def _forget(self, handle: tuple[str, bytes]) -> None:
        key, shelf = handle[0], self._shelf
        with shelf.lock:
            shelf.num_leases[key] -= 1
            if not shelf.num_leases[key]:
                del shelf.num_leases[key]

    def _write(self, key: str, parts: Sequence[memoryview], num_bytes: int, deadline: Deadline) -> bool:
        shelf = self._shelf
        with shelf.lock:
            if key in shelf.entries:
                shelf.entries.move_to_end(key)
                return False
            leased_bytes = sum(len(shelf.entries.get(held, b"")) for held in shelf.num_leases)
            if leased_bytes + num_bytes > self._capacity_bytes:
                raise StoreFullError(
                    f"memory store: {num_bytes} bytes do not fit, "
                    f"capacity {self._capacity_bytes}, leased {leased_bytes}; raise capacity_bytes"
                )
            shelf.make_room(self._capacity_bytes - num_bytes)
            shelf.entries[key] = b"".join(parts)
            shelf.num_bytes += num_bytes
            return True

    def _remove(self, key: str, deadline: Deadline) -> None:
        with self._shelf.lock:
            self._shelf.drop(key)

    def _evict(self, target_bytes: int, deadline: Deadline) -> int:
        with self._shelf.lock:
            return self._shelf.make_room(target_bytes)

    def _fill(self, counts: StoreStat, deadline: Deadline) -> StoreStat:
        shelf = self._shelf
        with shelf.lock:
            return replace(
                counts,
                num_entries=len(shelf.entries),
                num_bytes=shelf.num_bytes,
                capacity_bytes=self._capacity_bytes,
            )

    def _close(self) -> None:
        """The shelf goes with the last store that refers to it."""
