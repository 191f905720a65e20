"""What all transfers of a worker share: store, threads, memory, counters, and the measured link."""

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gainful.errors import IntegrityError
from gainful.sparkv.coder import ChunkCoder
from gainful.sparkv.link import LinkEstimator, window_chunks
from gainful.sparkv.meter import TransferMeter
from gainful.sparkv.stores import Store
from gainful_vllm.guard import logger
from gainful_vllm.staging import ByteBudget
from gainful_vllm.stats import Counters
from gainful_vllm.threads import pool

if TYPE_CHECKING:
    from gainful_vllm.engine import Engine

__all__ = ["Transfers"]


class Transfers:
    """One per worker."""

    def __init__(self, engine: "Engine", store: Store, coder: ChunkCoder, counters: Counters) -> None:
        self.engine, self.store, self.coder, self.counters = engine, store, coder, counters
        self.meter = TransferMeter()
        self.link = LinkEstimator()
        self.staging = ByteBudget(engine.options.staging_bytes)
        self.pool = pool(engine.options.max_loads, "load")
        self.closed = False
        self._said: set[str] = set()

    def read_ahead_bytes(self, chunk_bytes: int) -> int:
        """Bytes to have in flight, so that the round trip is paid once."""
        return max(1, window_chunks(self.link.estimate(), chunk_bytes) * chunk_bytes)

    def decode(self, key: str, frame: memoryview) -> Tensor | None:
        """Verified blocks, [layers, blocks, block_bytes]; None, and the frame is discarded, if it is damaged."""
        engine, start = self.engine, time.monotonic()
        out = torch.empty((engine.num_layers, engine.options.chunk_blocks, engine.block_bytes), dtype=torch.uint8)
        try:
            self.coder.decode(key, frame, out)
        except IntegrityError as error:
            self.damaged(key, error)
            return None
        except Exception as error:  # as in Racer.stream; who asked must hear that nothing came
            self.failed("decoding", f"{type(error).__name__}: {error}")
            return None
        self.counters.add("seconds", "decode", by=time.monotonic() - start)
        self.counters.add("bytes", "loaded", by=len(frame))
        self.counters.add("chunks", "loaded")
        return out

    def damaged(self, key: str, error: Exception) -> None:
        """A frame is not what was written: remove it, or everybody would fetch it again."""
        self.counters.add("chunks", "damaged")
        self.failed("damaged frame", str(error))
        try:
            if not self.store.read_only:
                self.store.discard(key, max_seconds=self.engine.options.lookup_seconds)
        except Exception as refused:  # a client's own errors; the next one who reads it tries again
            self.failed("discard", f"{type(refused).__name__}: {refused}")

    def failed(self, what: str, reason: str) -> None:
        """Say it once per kind; the counters tell how often."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("gainful: %s: %s; the engine computes instead (said once)", what, reason)

    def samples(self) -> list[tuple[int, float]]:
        """New measurements of the link, which the own estimate learns from as well."""
        sample = self.meter.take(time.monotonic())
        if sample is None:
            return []
        self.link.observe_transfer(*sample)
        return [sample]

    def close(self) -> None:
        """Running transfers end with their next look."""
        self.closed = True
        self.pool.shutdown(wait=False, cancel_futures=True)
