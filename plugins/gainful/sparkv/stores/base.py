"""The contract of a store: byte strings under keys, leased in runs and read in ranges. Checked by `check_store`.

A store knows bytes; what they mean is the frame's affair. A subclass implements the methods that begin with an
underscore; the public ones check arguments, keep deadlines and count, the same for every store.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gainful.errors import InputError, IntegrityError, StoreError
from gainful.sparkv.keys import check_key
from gainful.sparkv.stores.counts import Counter, StoreStat
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.lease import Buffer, ByteRange, Lease, Miss
from gainful.sparkv.stores.read_ahead import read_ahead

__all__ = ["IN_FLIGHT_BYTES", "Buffer", "ByteRange", "Store", "StoreStat"]

Found = tuple[int, Any] | None
"""Size and handle of an entry, or None if it is not there."""

IN_FLIGHT_BYTES = 16 << 20
"""Asked for and not yet here, in `stream`: 1.3 Gbit/s at a round trip of 100 ms (ours)."""
MAX_ENTRY_BYTES = 16 << 30


class Store(ABC):
    """Byte strings under keys. All methods may be called from any thread; none waits longer than `max_seconds`.

    Errors of all methods: `InputError` for a bad argument, `StoreTimeoutError`, `StoreError` if the store cannot be
    reached, refuses or was closed. Entries never change: a key stands for its content.
    """

    pins = True
    """Whether nothing that is leased can disappear. Nobody can promise it where other programs rule over the engine."""
    evicts = True
    """Whether `evict` removes anything; where the engine has its own capacity and ages, it does not."""
    read_only = False
    """Whether `put` and `discard` always raise."""
    concurrent_reads = 1
    """Reads that `stream` makes at once; more than one only where a read waits for a network."""

    def __init__(self) -> None:
        self._counter = Counter()
        self._closed = False

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def acquire(self, keys: Sequence[str], *, max_seconds: float, from_start: bool = False) -> Lease:
        """Lease the longest run of consecutive `keys` that are all present; the first one among equals.

        Called once per request, with its chunk keys in prompt order. A hole ends a run: what is streamed is contiguous.

        Args:
            keys: In prompt order, no two equal.
            max_seconds: For all of them together.
            from_start: Take the run at `keys[0]`, even if it is empty and there are others.

        Returns:
            A lease, which may be empty and must be released.
        """
        deadline = self._begin("acquire", max_seconds)
        if len({check_key(key) for key in keys}) < len(keys):
            raise InputError("acquire: two keys are equal; the keys of a prompt's chunks differ")
        found = self._find(keys, deadline) if keys else []
        start, end = _longest_run(found, from_start)
        for index, entry in enumerate(found):
            if entry is not None and not start <= index < end:
                self._forget(entry[1])
        held = [entry for entry in found[start:end] if entry is not None]
        self._counter.add(num_leased=len(held))
        return Lease(start, keys[start:end], [size for size, _ in held], [handle for _, handle in held], self._let_go)

    def read(
        self, lease: Lease, key: str, byte_range: ByteRange | None = None, *, max_seconds: float
    ) -> memoryview | Miss:
        """The bytes of an entry, or of a part of it; not checked in any way, `gainful.sparkv.frame` does that.

        Returns:
            Exactly as many bytes as were asked for, which must not be written to; a `Miss` if the entry is gone, which
            can only happen to stores that do not pin.

        Raises:
            IntegrityError: The entry has another size than when it was acquired.
        """
        deadline = self._begin("read", max_seconds)
        return self._read(lease, key, byte_range, deadline)

    def stream(
        self,
        lease: Lease,
        requests: Iterable[tuple[str, ByteRange | None]],
        *,
        max_seconds: float,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
    ) -> Iterator[tuple[str, memoryview | Miss]]:
        """Many reads, asked for ahead of time so that the round trip is paid once; answers in the order of `requests`.

        `requests` is only read as far ahead as `in_flight_bytes` allows, so it may be a generator that decides late.
        Close the iterator to stop early. Errors as in `read`; `max_seconds` is for all of it.
        """
        deadline = self._begin("stream", max_seconds)
        if self.concurrent_reads == 1:
            return ((key, self._read(lease, key, part, deadline)) for key, part in requests)
        return self._stream(lease, requests, deadline, in_flight_bytes)

    def put(self, key: str, parts: Sequence[Buffer], *, max_seconds: float) -> bool:
        """Store one entry: all of it or nothing, whatever happens meanwhile. Parts are written one after the other.

        Returns:
            False if the key was there already, which is left as it is: equal keys have equal contents.

        Raises:
            StoreFullError: It is larger than the capacity, or what could make room is leased.
        """
        deadline = self._begin("put", max_seconds)
        views = [memoryview(part).cast("B") for part in parts]
        num_bytes = sum(len(view) for view in views)
        if not 0 < num_bytes <= MAX_ENTRY_BYTES:
            raise InputError(f"put: an entry has 1 to {MAX_ENTRY_BYTES} bytes, got {num_bytes}")
        self._refuse_if_read_only()
        written = self._write(check_key(key), views, num_bytes, deadline)
        self._counter.add(written_bytes=num_bytes if written else 0)
        return written

    def discard(self, key: str, *, max_seconds: float) -> None:
        """Remove an entry, present or not: one that proved damaged. Leases of it may go on reading what is left."""
        deadline = self._begin("discard", max_seconds)
        self._refuse_if_read_only()
        self._remove(check_key(key), deadline)

    def evict(self, target_bytes: int, *, max_seconds: float) -> int:
        """Remove entries until at most `target_bytes` are held, longest unused first, never a leased one.

        Returns:
            Bytes removed; zero where the engine evicts by its own rules.
        """
        deadline = self._begin("evict", max_seconds)
        if target_bytes < 0:
            raise InputError(f"evict: target_bytes must be >= 0, got {target_bytes}")
        return self._evict(target_bytes, deadline)

    def stat(self, *, max_seconds: float) -> StoreStat:
        """Sizes and counts."""
        return self._fill(self._counter.stat, self._begin("stat", max_seconds))

    def close(self) -> None:
        """Let go of connections and files; the second time nothing happens. Leases end with the store."""
        if not self._closed:
            self._closed = True
            self._close()

    # what a store implements

    @abstractmethod
    def _find(self, keys: Sequence[str], deadline: Deadline) -> list[Found]:
        """Size and handle of each key's entry, pinned; for a store that does not pin, the handle may be anything."""

    @abstractmethod
    def _fetch(self, handle: Any, key: str, begin: int, end: int, deadline: Deadline) -> Buffer | None:
        """Bytes of an entry; None if it is gone. An end beyond the entry gives fewer bytes."""

    @abstractmethod
    def _forget(self, handle: Any) -> None:
        """Unpin; called once per handle that `_find` gave."""

    @abstractmethod
    def _write(self, key: str, parts: Sequence[memoryview], num_bytes: int, deadline: Deadline) -> bool:
        """Atomic and durable as far as the engine is; False if the key is there."""

    @abstractmethod
    def _remove(self, key: str, deadline: Deadline) -> None:
        """Absent is fine."""

    def _evict(self, target_bytes: int, deadline: Deadline) -> int:
        return 0

    def _fill(self, counts: StoreStat, deadline: Deadline) -> StoreStat:
        """Add what the engine says."""
        return counts

    @abstractmethod
    def _close(self) -> None: ...

    # common to all

    def _read(self, lease: Lease, key: str, byte_range: ByteRange | None, deadline: Deadline) -> memoryview | Miss:
        begin, end = lease.checked_range(key, byte_range)
        with lease.using(key) as handle:
            deadline.check(f"read of {key}")
            data = self._fetch(handle, key, begin, end, deadline)
        return self._answer(key, data, end - begin)

    def _answer(self, key: str, data: Buffer | None, num_bytes: int) -> memoryview | Miss:
        if data is None:
            self._counter.add(num_misses=1)
            return Miss(key)
        if len(data) != num_bytes:
            raise IntegrityError(
                f"entry {key}: asked for {num_bytes} bytes, got {len(data)}; it is not what was acquired"
            )
        self._counter.add(read_bytes=num_bytes)
        return memoryview(data)

    def _stream(
        self, lease: Lease, requests: Iterable[tuple[str, ByteRange | None]], deadline: Deadline, in_flight_bytes: int
    ) -> Iterator[tuple[str, memoryview | Miss]]:
        """Several reads at once, each on a connection of its own."""

        def read(request: tuple[str, ByteRange | None]) -> tuple[str, memoryview | Miss]:
            return request[0], self._read(lease, *request, deadline)

        def size_of(request: tuple[str, ByteRange | None]) -> int:
            begin, end = lease.checked_range(*request)
            return end - begin

        return read_ahead(requests, read, size_of, num_threads=self.concurrent_reads, in_flight_bytes=in_flight_bytes)

    def _begin(self, doing: str, max_seconds: float) -> Deadline:
        if self._closed:
            raise StoreError(f"{doing}: the store was closed")
        deadline = Deadline.after(max_seconds)
        deadline.check(doing)
        return deadline

    def _refuse_if_read_only(self) -> None:
        if self.read_only:
            raise StoreError(f"{type(self).__name__} is read-only; write through the store behind it")

    def _let_go(self, handle: Any) -> None:
        self._counter.add(num_leased=-1)
        self._forget(handle)


def _longest_run(found: Sequence[Found], from_start: bool) -> tuple[int, int]:
    best, start = (0, 0), 0
    for index, entry in enumerate([*found, None]):
        if entry is not None:
            continue
        if index - start > best[1] - best[0]:
            best = (start, index)
        if from_start:
            break
        start = index + 1
    return best
