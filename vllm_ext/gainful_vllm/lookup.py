"""What of a prompt is stored: asked by threads of the scheduler's process, so that no hook waits for a store."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainful.errors import GainfulError
from gainful.sparkv.stores import Store
from gainful_vllm.guard import logger
from gainful_vllm.knowledge import Knowledge
from gainful_vllm.stats import Counters
from gainful_vllm.threads import pool

if TYPE_CHECKING:
    from gainful_vllm.engine import Engine

__all__ = ["Found", "Lookups"]

MAX_FAILURES = 3
REST_SECONDS = 5.0
"""A store that failed three times in a row is left alone for so long, and no lookup holds a thread longer. Ours."""


@dataclass(frozen=True, slots=True)
class Found:
    """Chunks [start_chunk, end_chunk) are stored by every rank."""

    start_chunk: int
    end_chunk: int
    sizes: tuple[int, ...]
    """Bytes of each, of the first rank."""


NOTHING = Found(0, 0, ())


class Lookups:
    """One per scheduler part."""

    def __init__(self, engine: "Engine", store: Store, knowledge: Knowledge, counters: Counters) -> None:
        self.engine, self._store, self._knowledge, self._counters = engine, store, knowledge, counters
        self._pool = pool(2, "lookup")
        self._failures = 0
        self._rests_until = 0.0

    def start(self, block_hashes: Sequence[bytes]) -> "Future[Found] | None":
        """Ask about a prompt's whole chunks; None while a failing store is left alone."""
        if time.monotonic() < self._rests_until:
            self._counters.add("fallbacks", "store rests")
            return None
        return self._pool.submit(self._look, tuple(block_hashes))

    def _look(self, block_hashes: tuple[bytes, ...]) -> Found:
        try:
            found = self._common(block_hashes)
            self._failures = 0
            return found
        except (GainfulError, OSError) as error:
            self._failed(f"{type(error).__name__}: {error}")
        except Exception as error:  # a client's own errors; a lookup that fails is a miss
            self._failed(f"unexpected {type(error).__name__}: {error}")
        return NOTHING

    def _failed(self, reason: str) -> None:
        self._counters.add("fallbacks", "lookup failed")
        self._failures += 1
        if self._failures == 1:
            logger.warning("gainful: the store was not asked: %s; prompts are computed meanwhile", reason)
        if self._failures >= MAX_FAILURES:
            self._rests_until = time.monotonic() + REST_SECONDS

    def _common(self, block_hashes: tuple[bytes, ...]) -> Found:
        options = self.engine.options
        start, end, sizes = 0, len(block_hashes) // options.chunk_blocks, ()
        until = time.monotonic() + min(options.load_seconds, REST_SECONDS)
        for space in reversed(self.engine.spaces):
            keys = space.chunk_keys(block_hashes)[start:end]
            asked = time.monotonic()
            with self._store.acquire(keys, max_seconds=max(0.0, until - asked)) as lease:
                self._knowledge.observe_round_trip(time.monotonic() - asked)
                start, end, sizes = start + lease.start, start + lease.start + len(lease), lease.sizes
        return Found(start, end, sizes)

    def close(self) -> None:
        """Nothing more is asked."""
        self._pool.shutdown(wait=False, cancel_futures=True)
