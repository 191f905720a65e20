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
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import numpy as np
from pydantic import PositiveInt

from gainful.config import Options
from gainful.errors import StoreError, StoreFullError, StoreTimeoutError
from gainful.sparkv.stores.base import Buffer, Found, Store, StoreStat
from gainful.sparkv.stores.deadline import Deadline

__all__ = ["FileOptions", "FileStore"]

SLICE_BYTES = 8 << 20
"""Read or written between two looks at the clock."""
SLACK = 16
"""When room is needed, 1/16 of the capacity is made free, so that not every put has to look at all files (ours)."""
POLL_SECONDS = 0.002
OPEN_SECONDS = 10.0
CLEAN_UP_SECONDS = 1.0
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
        self._folder = Path(folder)
        self._incoming = self._folder / ".incoming"
        self._thread_lock = threading.Lock()
        with self._explained("open"):
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._lock_file = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._locked(Deadline.after(OPEN_SECONDS)):
                self._make_room(self._options.capacity_bytes)

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
            file = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with suppress(BlockingIOError):  # somebody is removing it
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            status = os.fstat(file)
            if status.st_nlink:
                _touch(file)
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
        path = self._path(key)
        with self._explained("put"):
            if path.exists():
                with suppress(FileNotFoundError):
                    _touch(path)
                return False
            aside = self._incoming / token_hex(8)
            file = self._reserve(aside, num_bytes, deadline)
            try:
                self._fill_file(file, parts, deadline)
                return self._publish(aside, path, num_bytes, deadline)
            except BaseException:
                self._abandon(aside, num_bytes)
                raise
            finally:
                os.close(file)

    def _reserve(self, aside: Path, num_bytes: int, deadline: Deadline) -> int:
        """A locked file of full size, counted as in use."""
        with self._locked(deadline):
            if self._used_bytes() + num_bytes > self._options.capacity_bytes:
                self._free_for(num_bytes)
            file = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(file, 0, num_bytes)
                self._set_used_bytes(self._used_bytes() + num_bytes)
            except BaseException:
                os.unlink(aside)
                os.close(file)
                raise
            return file

    def _free_for(self, num_bytes: int) -> None:
        capacity = self._options.capacity_bytes
        target = capacity - num_bytes
        if target >= 0 and self._make_room(max(0, target - capacity // SLACK)) <= target:
            return
        raise StoreFullError(
            f"file store {self._folder}: {num_bytes} bytes do not fit, capacity {capacity}, "
            f"leased or being written {self._used_bytes()}; raise capacity_bytes"
        )

    def _fill_file(self, file: int, parts: Sequence[memoryview], deadline: Deadline) -> None:
        for part in parts:
            at = 0
            while at < len(part):
                deadline.check("put")
                at += os.write(file, part[at : at + SLICE_BYTES])
        _touch(file)
        if self._options.durable:
            os.fsync(file)

    def _publish(self, aside: Path, path: Path, num_bytes: int, deadline: Deadline) -> bool:
        """Rename, unless another writer was faster."""
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with self._locked(deadline):
            if path.exists():
                os.unlink(aside)
                self._set_used_bytes(self._used_bytes() - num_bytes)
                return False
            os.rename(aside, path)
        if self._options.durable:
            _flush_folder(path.parent)
        return True

    def _abandon(self, aside: Path, num_bytes: int) -> None:
        """After a failure. If the lock cannot be had, the file stays for the next look through the folder."""
        with suppress(StoreError, FileNotFoundError), self._locked(Deadline.after(CLEAN_UP_SECONDS)):
            os.unlink(aside)  # not found: it was published
            self._set_used_bytes(self._used_bytes() - num_bytes)

    def _remove(self, key: str, deadline: Deadline) -> None:
        path = self._path(key)
        with self._explained("discard"), self._locked(deadline), suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            self._set_used_bytes(self._used_bytes() - size)

    def _evict(self, target_bytes: int, deadline: Deadline) -> int:
        with self._explained("evict"), self._locked(deadline):
            before = self._make_room(self._options.capacity_bytes)
            return before - self._make_room(target_bytes)

    def _make_room(self, target_bytes: int) -> int:
        """Remove what dead writers left, then entries, longest unused first, until `target_bytes` are in use; those."""
        used = sum(self._size_if_alive(path) for path in self._incoming.iterdir())
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime_ns)
        used += sum(status.st_size for _, status in entries)
        for path, status in entries:
            if used <= target_bytes:
                break
            if _unlink_if_free(path):
                used -= status.st_size
        self._set_used_bytes(used)
        return used

    def _size_if_alive(self, path: Path) -> int:
        """Bytes reserved by a writer; those of a dead one are freed."""
        try:
            return 0 if _unlink_if_free(path) else path.stat().st_size
        except FileNotFoundError:
            return 0

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for shard in self._folder.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(shard) as files:
                for file in files:
                    with suppress(FileNotFoundError):
                        yield Path(file.path), file.stat(follow_symlinks=False)

    def _fill(self, counts: StoreStat, deadline: Deadline) -> StoreStat:
        with self._explained("stat"):
            sizes = [status.st_size for _, status in self._entries()]
        return replace(
            counts, num_entries=len(sizes), num_bytes=sum(sizes), capacity_bytes=self._options.capacity_bytes
        )

    def _close(self) -> None:
        os.close(self._lock_file)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _used_bytes(self) -> int:
        return int.from_bytes(os.pread(self._lock_file, 8, 0), "little")

    def _set_used_bytes(self, num_bytes: int) -> None:
        os.pwrite(self._lock_file, max(0, num_bytes).to_bytes(8, "little"), 0)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        """Alone among all threads and processes; flock itself knows no deadline."""
        if not self._thread_lock.acquire(timeout=deadline.check("lock of the folder")):
            raise StoreTimeoutError(f"lock of the folder: not had within {deadline.max_seconds:g} s")
        try:
            while not _try_lock(self._lock_file):
                time.sleep(min(POLL_SECONDS, deadline.check("lock of the folder")))
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            self._thread_lock.release()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            kind = StoreFullError if error.errno in _NO_ROOM else StoreError
            hint = "; a lease holds one file per chunk: raise ulimit -n" if error.errno == errno.EMFILE else ""
            raise kind(f"file store {self._folder}: {doing}: {error.strerror}{hint}") from error


def _touch(target: int | Path) -> None:
    """Mark as used now; to the nanosecond, since the kernel's own clock for this is coarse."""
    now = time.time_ns()
    os.utime(target, ns=(now, now))


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlink_if_free(path: Path) -> bool:
    """Remove a file that nobody has locked."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        if free := _try_lock(file):
            os.unlink(path)
        return free
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    """A rename is durable when its folder is."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
