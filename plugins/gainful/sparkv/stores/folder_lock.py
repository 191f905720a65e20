"""Locks between processes (flock), which the kernel drops with the process; and a folder's, which knows a deadline."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gainful.errors import StoreTimeoutError
from gainful.sparkv.stores.deadline import Deadline

__all__ = ["FolderLock", "try_lock", "unlink_if_free"]

POLL_SECONDS = 0.002


class FolderLock:
    """A file that is locked while a folder changes; it holds one number, which all processes share."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._thread_lock = threading.Lock()

    @property
    def number(self) -> int:
        """What was set last; 0 in a new file."""
        return int.from_bytes(os.pread(self._file, 8, 0), "little")

    @number.setter
    def number(self, value: int) -> None:
        os.pwrite(self._file, max(0, value).to_bytes(8, "little"), 0)

    @contextmanager
    def held(self, deadline: Deadline) -> Iterator[None]:
        """Alone among all threads and processes; flock itself knows no deadline."""
        if not self._thread_lock.acquire(timeout=deadline.check("lock of the folder")):
            raise StoreTimeoutError(f"lock of the folder: not had within {deadline.max_seconds:g} s")
        try:
            while not try_lock(self._file):
                time.sleep(min(POLL_SECONDS, deadline.check("lock of the folder")))
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._thread_lock.release()

    def close(self) -> None:
        """Let go of the file; the folder stays as it is."""
        os.close(self._file)


def try_lock(file: int) -> bool:
    """Lock an open file for ourselves alone; false if somebody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlink_if_free(path: Path) -> bool:
    """Remove a file that nobody has locked; true if it is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        if free := try_lock(file):
            os.unlink(path)
        return free
    finally:
        os.close(file)
