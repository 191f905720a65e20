"""file:///FOLDER: entries as files, for any number of processes of one machine. The embedded default.

    FOLDER/ab/abcdef...       an entry; its first two digits are its folder; the time of last use is its mtime
    FOLDER/.incoming/...      entries being written; locked by their writer, so what is not locked is a dead one's
    FOLDER/.lock              locked while entries are added or removed; holds the bytes in use

An entry is written aside, flushed to the disk and renamed, so a process that is killed leaves nothing that can be read;
what it leaves is removed by the next one that opens the folder or needs room. Room is reserved before it is written:
the capacity holds for all processes together. A lease holds its files open under a shared lock (flock), which the
kernel drops with the process; what somebody holds is never evicted. For local file systems only: flock may not reach
over a network.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from gainful.config import Options
from gainful.errors import StoreError, StoreFullError
from gainful.sparkv.stores.base import Buffer, Found, Store, StoreStat
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.folder import Folder, touch

__all__ = ["FileOptions", "FileStore"]

SLICE_BYTES = 8 << 20
"""Read or written between two looks at the clock."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FileOptions(Options):
    """Of `file:///FOLDER`; the folder is made if it is not there, readable for its owner only."""

    capacity_bytes: PositiveInt = 16 << 30
    """Most bytes that entries take, those being written included, of all processes together."""
    durable: bool = True
    """Flush to the disk before an entry becomes visible; without, a power failure may leave damaged ones."""


class FileStore(Store):
    """Files in a folder. A deadline is looked at between slices: a disk that hangs cannot be interrupted."""

    def __init__(self, folder: str | os.PathLike[str], options: FileOptions | None = None) -> None:
        super().__init__()
        self._options = options or FileOptions()
        self._path = Path(folder)
        with self._explained("open"):
            self._folder = Folder(self._path, self._options.capacity_bytes)

    def _find(self, keys: Sequence[str], deadline: Deadline) -> list[Found]:
        found: list[Found] = []
        try:
            with self._explained("acquire"):
                for key in keys:
                    deadline.check("acquire")
                    found.append(self._hold(key))
        except BaseException:
            for entry in found:
                if entry is not None:
                    os.close(entry[1])
            raise
        return found

    def _hold(self, key: str) -> Found:
        """Open and lock one entry, and mark it as used."""
        try:
            file = os.open(self._folder.path_of(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with suppress(BlockingIOError):  # somebody is removing it
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            status = os.fstat(file)
            if status.st_nlink:
                touch(file)
                return status.st_size, file
        os.close(file)
        return None

    def _fetch(self, handle: int, key: str, begin: int, end: int, deadline: Deadline) -> Buffer:
        view = np.empty(end - begin, np.uint8).data
        at = 0
        with self._explained("read"):
            while at < len(view):
                deadline.check(f"read of {key}")
                num_bytes = os.preadv(handle, [view[at : at + SLICE_BYTES]], begin + at)
                if not num_bytes:
                    break
                at += num_bytes
        return view[:at]

    def _forget(self, handle: int) -> None:
        os.close(handle)

    def _write(self, key: str, parts: Sequence[memoryview], num_bytes: int, deadline: Deadline) -> bool:
        path = self._folder.path_of(key)
        with self._explained("put"):
            if path.exists():
                with suppress(FileNotFoundError):
                    touch(path)
                return False
            aside, file = self._folder.reserve(num_bytes, deadline)
            try:
                self._fill_file(file, parts, deadline)
                published = self._folder.publish(aside, key, num_bytes, deadline)
                if published and self._options.durable:
                    self._folder.flush(key)
                return published
            except BaseException:
                self._folder.abandon(aside, num_bytes)
                raise
            finally:
                os.close(file)

    def _fill_file(self, file: int, parts: Sequence[memoryview], deadline: Deadline) -> None:
        for part in parts:
            at = 0
            while at < len(part):
                deadline.check("put")
                at += os.write(file, part[at : at + SLICE_BYTES])
        touch(file)
        if self._options.durable:
            os.fsync(file)

    def _remove(self, key: str, deadline: Deadline) -> None:
        with self._explained("discard"):
            self._folder.remove(key, deadline)

    def _evict(self, target_bytes: int, deadline: Deadline) -> int:
        with self._explained("evict"):
            return self._folder.evict(target_bytes, deadline)

    def _fill(self, counts: StoreStat, deadline: Deadline) -> StoreStat:
        with self._explained("stat"):
            sizes = [status.st_size for _, status in self._folder.entries()]
        return replace(
            counts, num_entries=len(sizes), num_bytes=sum(sizes), capacity_bytes=self._options.capacity_bytes
        )

    def _close(self) -> None:
        self._folder.lock.close()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            kind = StoreFullError if error.errno in _NO_ROOM else StoreError
            hint = "; a lease holds one file per chunk: raise ulimit -n" if error.errno == errno.EMFILE else ""
            raise kind(f"file store {self._path}: {doing}: {error.strerror}{hint}") from error
