"""Stores a prompt's blocks after its prefill: copied in the step, encoded and written by a thread that gives way."""

import time
from typing import TYPE_CHECKING

from torch import Tensor

from gainful.errors import GainfulError
from gainful.sparkv.coder import ChunkCoder
from gainful.sparkv.stores import Store
from gainful_vllm.blocks import CacheBlocks
from gainful_vllm.guard import logger
from gainful_vllm.meta import Save
from gainful_vllm.staging import ByteBudget
from gainful_vllm.stats import Counters
from gainful_vllm.threads import pool

if TYPE_CHECKING:
    from gainful_vllm.engine import Engine

__all__ = ["Saver"]


class Saver:
    """Bounded: what does not fit into memory is not saved, and counted."""

    def __init__(self, engine: "Engine", store: Store, coder: ChunkCoder, counters: Counters) -> None:
        self.engine, self._store, self._coder, self._counters = engine, store, coder, counters
        self._budget = ByteBudget(engine.options.save_bytes)
        self._pool = pool(1, "save", gives_way=True)
        self._said = False

    def save(self, order: Save, cache: CacheBlocks) -> None:
        """Called after a forward, in the engine's thread: copies, and leaves the rest to the thread."""
        per_chunk = self.engine.options.chunk_blocks
        engine = self.engine
        keys = engine.spaces[engine.tp_rank].chunk_keys(order.block_hashes)[order.first_chunk :]
        for index, key in enumerate(keys[: len(order.block_ids) // per_chunk]):
            if not self._budget.try_take(self.engine.chunk_bytes):
                self._counters.add("chunks", "save_dropped")
                continue
            copied = cache.copy_out(order.block_ids[index * per_chunk : (index + 1) * per_chunk])
            self._pool.submit(self._write, key, copied)

    def _write(self, key: str, blocks: Tensor) -> None:
        try:
            if self._store.read_only or self._is_there(key):
                return
            parts = self._coder.encode(key, blocks)
            if self._store.put(key, parts, max_seconds=self.engine.options.save_seconds):
                self._counters.add("chunks", "saved")
                self._counters.add("bytes", "saved", by=sum(len(memoryview(part).cast("B")) for part in parts))
        except (GainfulError, OSError, RuntimeError) as error:
            self._counters.add("chunks", "save_failed")
            if not self._said:
                self._said = True
                logger.warning("gainful: a chunk was not saved (said once): %s", error)
        finally:
            self._budget.give_back(self.engine.chunk_bytes)

    def _is_there(self, key: str) -> bool:
        with self._store.acquire([key], max_seconds=self.engine.options.save_seconds) as lease:
            return len(lease) > 0

    def flush(self, max_seconds: float) -> bool:
        """Wait until what was copied is written, for tests and shutdown; False if it is not."""
        until = time.monotonic() + max_seconds
        while self._budget.held_bytes and time.monotonic() < until:
            time.sleep(0.005)
        return not self._budget.held_bytes

    def close(self) -> None:
        """Nothing more is begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
