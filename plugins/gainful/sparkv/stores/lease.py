"""What `acquire` gives: a run of chunks that can be read until it is released."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from gainful.errors import InputError, StoreError

__all__ = ["Buffer", "ByteRange", "Lease", "Miss"]

Buffer = bytes | bytearray | memoryview
ByteRange = tuple[int, int]
"""Begin and end of a part of an entry."""


@dataclass(frozen=True, slots=True)
class Miss:
    """The answer of `read` for an entry that was there when it was acquired and is not any more. Not an error."""

    key: str
    reason: Literal["gone"] = "gone"


class Lease:
    """A contiguous run of the keys that were asked for; a context manager that releases itself.

    Reads may come from any thread, also while another releases: handles are closed when the last read is over.
    """

    def __init__(
        self,
        start: int,
        keys: Sequence[str],
        sizes: Sequence[int],
        handles: Sequence[Any],
        forget: Callable[[Any], None],
    ) -> None:
        """For stores only."""
        self.start = start
        """Index, among the keys asked for, of the run's first one."""
        self.keys = tuple(keys)
        """Keys of the run; empty if nothing is there."""
        self.sizes = tuple(sizes)
        """Bytes of each entry."""
        self._sizes = dict(zip(self.keys, self.sizes, strict=True))
        self._handles = dict(zip(self.keys, handles, strict=True))
        self._forget = forget
        self._lock = threading.Lock()
        self._readers = 0
        self._released = False

    def __len__(self) -> int:
        return len(self.keys)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def size_of(self, key: str) -> int:
        """Bytes of the entry; `InputError` if the lease does not hold the key."""
        if key not in self._sizes:
            raise InputError(f"the lease of {len(self)} entries does not hold {key!r:.80}")
        return self._sizes[key]

    def checked_range(self, key: str, byte_range: ByteRange | None) -> ByteRange:
        """The whole entry if nothing is given; `InputError` if the range is not within it."""
        size = self.size_of(key)
        begin, end = byte_range or (0, size)
        if not 0 <= begin <= end <= size:
            raise InputError(f"bytes {begin}..{end} are not within entry {key} of {size} bytes")
        return begin, end

    def release(self) -> None:
        """Let go of everything; the second time nothing happens."""
        with self._lock:
            self._released = True
            handles = self._idle_handles()
        self._forget_all(handles)

    @contextmanager
    def using(self, key: str) -> Iterator[Any]:
        """For stores: the handle of an entry, kept open meanwhile."""
        with self._lock:
            if self._released:
                raise StoreError("the lease was released; acquire again before reading")
            self._readers += 1
        try:
            yield self._handles[key]
        finally:
            with self._lock:
                self._readers -= 1
                handles = self._idle_handles()
            self._forget_all(handles)

    def _idle_handles(self) -> list[Any]:
        """Handles to close now: all of them, once, when nobody reads a released lease any more."""
        if self._readers or not self._released:
            return []
        handles, self._handles = list(self._handles.values()), {}
        return handles

    def _forget_all(self, handles: list[Any]) -> None:
        for handle in handles:
            self._forget(handle)
