"""Threads that do the store's work beside the engine: they wait elsewhere, and give way."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

__all__ = ["pool"]

NICENESS = 5
"""Of threads that nobody waits for (ours)."""


def pool(num_threads: int, name: str, *, gives_way: bool = False) -> ThreadPoolExecutor:
    """Daemon-like threads of their own placement; what still runs at exit is bounded by its deadline."""
    return ThreadPoolExecutor(
        num_threads, thread_name_prefix=f"sparkv-{name}", initializer=_settle, initargs=(gives_way,)
    )


def _settle(gives_way: bool) -> None:
    """vLLM pins a worker's main thread to one core, and threads inherit that: they would fight with the computing."""
    with suppress(OSError, AttributeError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with suppress(OSError, AttributeError):
        if gives_way:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
