"""The streaming route of one request on one rank: chunks from the back into host memory, until computing meets them."""

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from gainful.errors import GainfulError, StoreError
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.rebalancer import Rebalancer, RebalancerOptions
from gainful.sparkv.staged import StagedSpan
from gainful.sparkv.stores import Lease, Miss
from gainful_vllm.blocks import by_chunk
from gainful_vllm.meta import Race, TakeOver

if TYPE_CHECKING:
    from gainful_vllm.transfers import Transfers

__all__ = ["Racer"]

MAX_IN_FLIGHT = 64
"""Chunks; the store's read-ahead, in bytes, is the narrower limit."""


class Racer:
    """A `Rebalancer` with its staging memory. The engine's thread and one transfer thread use it, under its lock."""

    def __init__(self, order: Race, transfers: "Transfers") -> None:
        engine = transfers.engine
        self.order, self._transfers = order, transfers
        self._first_token = order.first_chunk * engine.chunk_tokens
        num_chunks = order.end_chunk - order.first_chunk
        layout = ChunkLayout(num_chunks, engine.chunk_tokens, order.chunk_bytes, self._first_token, engine.block_tokens)
        now = time.monotonic()
        self.race = Rebalancer(
            layout,
            now=now,
            deadline_s=now + order.max_seconds,
            options=RebalancerOptions(window_chunks=MAX_IN_FLIGHT),
        )
        self._keys = engine.spaces[engine.tp_rank].chunk_keys(order.block_hashes)[order.first_chunk : order.end_chunk]
        self._lock = threading.Lock()
        self._staged: dict[int, Tensor] = {}
        self.failure = ""

    # the engine's thread

    def advance(self, computed_tokens: int) -> None:
        """The engine has computed, or will have when its step is over, up to here; or was set back to here."""
        with self._lock:
            race, now = self.race, time.monotonic()
            position = max(computed_tokens, self._first_token)
            if position > race.computed_tokens:
                race.on_computed(position, now)
            elif position < race.computed_tokens:
                race.on_preempted(position, now)
            if not race.is_open:
                self._let_go()

    def span(self) -> StagedSpan:
        """What could be taken over now."""
        with self._lock:
            return self.race.staged_span()

    def take(self, order: TakeOver) -> list[tuple[tuple[int, ...], Tensor]]:
        """Engine blocks with what goes there, [layers, blocks, block_bytes]; raises KeyError if a chunk is not here."""
        engine = self._transfers.engine
        per_chunk = engine.options.chunk_blocks
        first = order.first_block - self._first_token // engine.block_tokens
        with self._lock:
            return [
                (ids, self._staged[chunk][:, begin : begin + len(ids)])
                for chunk, begin, ids in by_chunk(first, order.block_ids, per_chunk)
            ]

    def finish(self, handed_over: bool) -> None:
        """The race is over, one way or the other; memory is given back, and the transfer thread stops soon."""
        with self._lock:
            now = time.monotonic()
            if handed_over and self.race.state == "met":
                self.race.hand_over(now)
            self.race.cancel(now)
            self._let_go()
        in_vain = self.race.fetched_chunks - self.race.handed_over_tokens // self.race.layout.chunk_tokens
        if in_vain > 0:
            self._transfers.counters.add("chunks", "duplicate", by=in_vain)

    # the transfer thread

    def stream(self) -> None:
        """Fetch until there is nothing left to fetch; never raises."""
        if not self._wanted():
            return
        try:
            with self._lease() as lease:
                self._miss(lease)
                while self._fetch_some(lease):
                    pass
        except (GainfulError, OSError, RuntimeError) as error:
            self._give_up(f"{type(error).__name__}: {error}")
        except Exception as error:  # a bug must not end the thread unseen: the engine computes, and it is counted
            self._give_up(f"unexpected {type(error).__name__}: {error}")

    def _lease(self) -> Lease:
        return self._transfers.store.acquire(self._keys, max_seconds=self._seconds_left())

    def _miss(self, lease: Lease) -> None:
        """Chunks that were there when they were looked up and are gone."""
        with self._lock:
            for chunk in range(len(self._keys)):
                if not lease.start <= chunk < lease.start + len(lease):
                    self.race.on_evicted(chunk, time.monotonic())

    def _fetch_some(self, lease: Lease) -> bool:
        """One pipelined run of reads; false if it asked for nothing."""
        asked: dict[str, int] = {}
        meter = self._transfers.meter
        limit = self._transfers.read_ahead_bytes(self.order.chunk_bytes)
        reads = self._transfers.store.stream(
            lease, self._requests(asked), max_seconds=self._seconds_left(), in_flight_bytes=limit
        )
        num_landed = 0
        try:
            for key, frame in reads:
                if key not in asked:
                    raise StoreError(f"an answer for {key}, which was not asked for, or was answered before")
                self._land(asked.pop(key), key, frame)
                meter.end(0 if isinstance(frame, Miss) else len(frame), time.monotonic())
                num_landed += 1
        finally:
            for chunk in asked.values():
                meter.end(0, time.monotonic())
                self._lose(chunk)
        return num_landed > 0

    def _requests(self, asked: dict[str, int]) -> Iterator[tuple[str, None]]:
        """Keys in the order in which they are wanted, decided as late as the store allows; answers take them away."""
        budget, chunk_bytes = self._transfers.staging, self._transfers.engine.chunk_bytes
        while self._wanted() and budget.take(chunk_bytes, self.race.deadline_s, self._wanted):
            with self._lock:
                chunk = self.race.next_fetch(time.monotonic())
            if chunk is None:
                budget.give_back(chunk_bytes)
                return
            asked[self._keys[chunk]] = chunk
            self._transfers.meter.begin(time.monotonic())
            yield self._keys[chunk], None

    def _land(self, chunk: int, key: str, frame: "memoryview | Miss") -> None:
        """Verify and decode one chunk; whatever is wrong with it, the others are not harmed."""
        decoded = None if isinstance(frame, Miss) else self._transfers.decode(key, frame)
        if decoded is None:
            self._lose(chunk)
            return
        with self._lock:
            self.race.on_fetched(chunk, time.monotonic())
            if self.race.is_open:
                self._staged[chunk] = decoded
                return
        self._transfers.staging.give_back(self._transfers.engine.chunk_bytes)

    def _lose(self, chunk: int) -> None:
        self._transfers.staging.give_back(self._transfers.engine.chunk_bytes)
        self._transfers.counters.add("chunks", "failed")
        with self._lock:
            self.race.on_failed(chunk, time.monotonic())

    def _give_up(self, failure: str) -> None:
        self.failure = failure
        self._transfers.failed("race", failure)
        with self._lock:
            self.race.stop_streaming("failures")

    def _wanted(self) -> bool:
        return self.race.state == "racing" and not self._transfers.closed

    def _seconds_left(self) -> float:
        return max(0.0, self.race.deadline_s - time.monotonic())

    def _let_go(self) -> None:
        """Under the lock."""
        self._transfers.staging.give_back(len(self._staged) * self._transfers.engine.chunk_bytes)
        self._staged.clear()
