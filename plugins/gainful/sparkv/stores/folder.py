"""The folder of a file store: where entries lie, how room for one is reserved, how it appears and disappears.

The capacity holds for all processes together: room is reserved before it is written, and `.lock` holds the bytes in
use. All methods let `OSError` through; the store says what it was doing.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from gainful.errors import StoreError, StoreFullError
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.folder_lock import FolderLock, unlink_if_free

__all__ = ["Folder", "touch"]

SLACK = 16
"""When room is needed, 1/16 of the capacity is made free, so that not every put has to look at all files (ours)."""
OPEN_SECONDS = 10.0
CLEAN_UP_SECONDS = 1.0


class Folder:
    """Entries in shards by their first two digits, `.incoming` for those being written."""

    def __init__(self, path: Path, capacity_bytes: int) -> None:
        self.path = path
        self.capacity_bytes = capacity_bytes
        self._incoming = path / ".incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self.lock = FolderLock(path / ".lock")
        with self.lock.held(Deadline.after(OPEN_SECONDS)):
            self._make_room(capacity_bytes)

    def path_of(self, key: str) -> Path:
        """Where the entry of a key lies, if it is there."""
        return self.path / key[:2] / key

    def entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """All that are there; one that disappears meanwhile may be among them or not."""
        for shard in self.path.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(shard) as files:
                for file in files:
                    with suppress(FileNotFoundError):
                        yield Path(file.path), file.stat(follow_symlinks=False)

    def reserve(self, num_bytes: int, deadline: Deadline) -> tuple[Path, int]:
        """A locked file of full size, counted as in use: its path and it, open. To be published or abandoned."""
        aside = self._incoming / token_hex(8)
        with self.lock.held(deadline):
            if self.lock.number + num_bytes > self.capacity_bytes:
                self._free_for(num_bytes)
            file = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(file, 0, num_bytes)
                self.lock.number += num_bytes
            except BaseException:
                os.unlink(aside)
                os.close(file)
                raise
        return aside, file

    def publish(self, aside: Path, key: str, num_bytes: int, deadline: Deadline) -> bool:
        """Rename to the entry of `key`; false if another writer was faster."""
        path = self.path_of(key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with self.lock.held(deadline):
            if path.exists():
                os.unlink(aside)
                self.lock.number -= num_bytes
                return False
            os.rename(aside, path)
        return True

    def abandon(self, aside: Path, num_bytes: int) -> None:
        """After a failure. If the lock cannot be had, the file stays for the next look through the folder."""
        with suppress(StoreError, FileNotFoundError), self.lock.held(Deadline.after(CLEAN_UP_SECONDS)):
            os.unlink(aside)  # not found: it was published
            self.lock.number -= num_bytes

    def remove(self, key: str, deadline: Deadline) -> None:
        """An entry, whether it is held or not; absent is fine."""
        path = self.path_of(key)
        with self.lock.held(deadline), suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self.lock.number -= size

    def evict(self, target_bytes: int, deadline: Deadline) -> int:
        """Remove entries, longest unused first, until `target_bytes` are in use; bytes removed."""
        with self.lock.held(deadline):
            before = self._make_room(self.capacity_bytes)
            return before - self._make_room(target_bytes)

    def flush(self, key: str) -> None:
        """Make the rename of an entry durable, which it is when its folder is."""
        file = os.open(self.path_of(key).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def _free_for(self, num_bytes: int) -> None:
        target = self.capacity_bytes - num_bytes
        if target >= 0 and self._make_room(max(0, target - self.capacity_bytes // SLACK)) <= target:
            return
        raise StoreFullError(
            f"file store {self.path}: {num_bytes} bytes do not fit, capacity {self.capacity_bytes}, "
            f"leased or being written {self.lock.number}; raise capacity_bytes"
        )

    def _make_room(self, target_bytes: int) -> int:
        """Remove what dead writers left, then entries, longest unused first, until `target_bytes` are in use; those."""
        used = sum(_size_if_alive(path) for path in self._incoming.iterdir())
        entries = sorted(self.entries(), key=lambda entry: entry[1].st_mtime_ns)
        used += sum(status.st_size for _, status in entries)
        for path, status in entries:
            if used <= target_bytes:
                break
            if unlink_if_free(path):
                used -= status.st_size
        self.lock.number = used
        return used


def touch(target: int | Path) -> None:
    """Mark as used now; to the nanosecond, since the kernel's own clock for this is coarse."""
    now = time.time_ns()
    os.utime(target, ns=(now, now))


def _size_if_alive(path: Path) -> int:
    """Bytes reserved by a writer; those of a dead one are freed."""
    try:
        return 0 if unlink_if_free(path) else path.stat().st_size
    except FileNotFoundError:
        return 0
