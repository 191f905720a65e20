"""A store that fails in every way: the public contract of stores, around a sound one."""

import errno
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gainful.errors import StoreError, StoreFullError, StoreTimeoutError
from gainful.sparkv.stores import Lease, Miss, Store

__all__ = ["STORE_KINDS", "Fault", "Faults", "FaultyStore"]

STORE_KINDS = {
    "bit flip": ("read", "put"),
    "truncation": ("read", "put"),
    "wrong key": ("read", "put"),
    "reordered chunks": ("stream",),
    "duplicated chunks": ("stream",),
    "stall": ("acquire", "read", "put"),
    "reset": ("acquire", "read", "put", "discard"),
    "disk full": ("put",),
    "eviction under lease": ("acquire", "read"),
    "ranks disagree": ("acquire", "read"),
}
"""Kind of fault -> calls that it can strike."""
LONGEST_STALL = 30.0


@dataclass
class Fault:
    """Strikes once: the `after`-th next call of its sort, by whichever part of the connector."""

    kind: str
    call: str
    after: int
    variant: float
    rank: int | None = None


class Faults:
    """What is armed and what has struck, shared by the wrappers of one engine. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []
        self.struck: Counter[str] = Counter()
        self.released = threading.Event()

    def arm(self, faults: Sequence[Fault]) -> None:
        """For the next scenario; what did not strike in the last one never will."""
        self.released.clear()
        with self._lock:
            self._armed = list(faults)

    def release(self) -> None:
        """End all stalls, and let nothing strike any more."""
        with self._lock:
            self._armed = []
        self.released.set()

    def strike(self, call: str, rank: int | None) -> Fault | None:
        """The fault that hits this call, if any."""
        with self._lock:
            for fault in self._armed:
                if fault.call != call or fault.rank not in (None, rank):
                    continue
                fault.after -= 1
                if fault.after < 0:
                    self._armed.remove(fault)
                    return fault
        return None

    def count(self, kind: str) -> None:
        """It has taken effect."""
        with self._lock:
            self.struck[kind] += 1


class FaultyStore(Store):
    """In front of `inner`. `rank` is the worker's that uses it, None for the scheduler's part."""

    def __init__(self, inner: Store, faults: Faults, rank: int | None) -> None:
        super().__init__()
        self.inner, self.faults, self.rank = inner, faults, rank
        self.pins, self.evicts = inner.pins, inner.evicts
        self._seen: dict[int, tuple[str, bytes]] = {}

    def acquire(self, keys: Sequence[str], *, max_seconds: float, from_start: bool = False) -> Lease:
        fault = self._strike("acquire", max_seconds)
        if fault and fault.kind == "ranks disagree" and keys:  # one rank's chunk is gone, the others' are not
            self._drop(keys[int(fault.variant * len(keys))], fault)
        lease = self.inner.acquire(keys, max_seconds=max_seconds, from_start=from_start)
        if fault and fault.kind == "eviction under lease" and len(lease):
            self._drop(lease.keys[int(fault.variant * len(lease))], fault)
        return lease

    def read(
        self, lease: Lease, key: str, byte_range: tuple[int, int] | None = None, *, max_seconds: float
    ) -> memoryview | Miss:
        fault = self._strike("read", max_seconds)
        data = self.inner.read(lease, key, byte_range, max_seconds=max_seconds)
        if isinstance(data, Miss):
            return data
        return self._damaged(fault, key, data) if fault else self._noted(key, data)

    def stream(
        self, lease: Lease, requests: Any, *, max_seconds: float, in_flight_bytes: int = 1 << 20
    ) -> Iterator[tuple[str, memoryview | Miss]]:
        until, held = time.monotonic() + max_seconds, None
        for key, part in requests:
            data = self.read(lease, key, part, max_seconds=max(0.0, until - time.monotonic()))
            fault = self.faults.strike("stream", self.rank)
            if held is not None:
                yield from self._turned(held, (key, data))
                held = None
            elif fault is None:
                yield key, data
            elif fault.kind == "duplicated chunks":
                self.faults.count(fault.kind)
                yield from ((key, data), (key, data))
            else:
                held = (fault, key, data)
        if held is not None:
            yield held[1:]

    def _turned(self, held: tuple[Fault, str, Any], other: tuple[str, Any]) -> Iterator[tuple[str, Any]]:
        """Two answers the wrong way round: with their keys, or with each other's."""
        fault, key, data = held
        self.faults.count(fault.kind)
        if fault.variant < 0.5:
            return iter((other, (key, data)))
        return iter(((key, other[1]), (other[0], data)))

    def put(self, key: str, parts: Any, *, max_seconds: float) -> bool:
        fault = self._strike("put", max_seconds)
        if fault is None or fault.kind not in ("bit flip", "truncation", "wrong key"):
            return self.inner.put(key, parts, max_seconds=max_seconds)
        whole = memoryview(b"".join(bytes(part) for part in parts))
        return self.inner.put(key, [self._damaged(fault, key, whole)], max_seconds=max_seconds)

    def discard(self, key: str, *, max_seconds: float) -> None:
        self._strike("discard", max_seconds)
        self.inner.discard(key, max_seconds=max_seconds)

    def evict(self, target_bytes: int, *, max_seconds: float) -> int:
        return self.inner.evict(target_bytes, max_seconds=max_seconds)

    def stat(self, *, max_seconds: float) -> Any:
        return self.inner.stat(max_seconds=max_seconds)

    def _close(self) -> None:
        self.inner.close()

    # what strikes

    def _strike(self, call: str, max_seconds: float) -> Fault | None:
        fault = self.faults.strike(call, self.rank)
        if fault is None:
            return None
        if fault.kind == "stall":
            self._stall(fault, max_seconds)
        elif fault.kind == "reset" or (fault.kind == "ranks disagree" and call == "read"):
            self.faults.count(fault.kind)
            wrong = (ConnectionResetError("reset"), StoreError("reset"), EOFError("reset"), BrokenPipeError("reset"))
            raise wrong[int(fault.variant * len(wrong))]
        elif fault.kind == "disk full":
            self.faults.count(fault.kind)
            raise StoreFullError("full") if fault.variant < 0.5 else OSError(errno.ENOSPC, "no space left on device")
        elif fault.kind == "eviction under lease" and call == "read":
            self.faults.count(fault.kind)
            raise StoreError("evicted while it was read")
        return fault

    def _stall(self, fault: Fault, max_seconds: float) -> None:
        """Keeps the deadline and says so, or breaks the contract and answers when the scenario is over."""
        self.faults.count(fault.kind)
        if fault.variant < 0.5:
            self.faults.released.wait(LONGEST_STALL)
        elif not self.faults.released.wait(min(max_seconds, LONGEST_STALL)):
            raise StoreTimeoutError("stalled")

    def _damaged(self, fault: Fault, key: str, data: memoryview) -> memoryview:
        changed = bytearray(data)
        if fault.kind == "bit flip":
            place = int(fault.variant * len(changed) * 8)
            changed[place // 8] ^= 1 << place % 8
        elif fault.kind == "truncation":
            del changed[max(1, int(fault.variant * len(changed))) :]
        elif fault.kind == "wrong key":
            other = self._seen.get(len(changed))
            if other is None or other[0] == key:
                return self._noted(key, data)
            changed = bytearray(other[1])
        else:
            return data
        self.faults.count(fault.kind)
        return memoryview(bytes(changed))

    def _noted(self, key: str, data: memoryview) -> memoryview:
        """Keep one answer of each length, to be given for another key."""
        if len(self._seen) < 64 or len(data) in self._seen:
            self._seen[len(data)] = (key, bytes(data))
        return data

    def _drop(self, key: str, fault: Fault) -> None:
        self.faults.count(fault.kind)
        self.inner.discard(key, max_seconds=5.0)

    # the contract's template is not used: calls go to the inner store

    def _find(self, *_: Any) -> Any:
        raise NotImplementedError

    _fetch = _forget = _write = _remove = _find


def draw_fault(draw: random.Random, kind: str, num_ranks: int) -> Fault:
    """One of a kind, striking soon or somewhat later."""
    call = draw.choice(STORE_KINDS[kind])
    rank = num_ranks - 1 if kind == "ranks disagree" else None
    return Fault(kind, call, int(draw.expovariate(0.3)), draw.random(), rank)
