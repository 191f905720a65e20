"""The worker part: bytes move on threads of its own; the engine's thread only copies, and waits with deadlines."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from gainful.errors import ShapeError
from gainful.sparkv.stores import Store
from gainful_vllm.blocks import CacheBlocks
from gainful_vllm.guard import logger
from gainful_vllm.meta import PrefixLoad, Race, StepMeta, TakeOver, WorkerMeta
from gainful_vllm.prefix_loader import PrefixLoader
from gainful_vllm.racer import Racer
from gainful_vllm.saver import Saver
from gainful_vllm.stats import Counters
from gainful_vllm.transfers import Transfers

if TYPE_CHECKING:
    from gainful_vllm.engine import Engine

__all__ = ["WorkerPart"]

DROPPED = "dropped"
"""A load that nobody waits for any more: its blocks are freed, not computed."""
FLUSH_SECONDS = 5.0
"""At most so long does an engine that is shut down wait for what is still to be written. Ours."""


class WorkerPart:
    """One per worker process, that is, per tensor-parallel rank."""

    def __init__(self, engine: "Engine", store: Store) -> None:
        self.engine, self.store = engine, store
        self.counters = Counters()
        coder = engine.coder()
        self.transfers = Transfers(engine, store, coder, self.counters)
        self.saver = Saver(engine, store, coder, self.counters)
        self.cache: CacheBlocks | None = None
        self.racers: dict[str, Racer] = {}
        self.loaders: dict[str, PrefixLoader] = {}
        self.layer_loads: list[PrefixLoader] = []
        self._epoch = ""
        self._received: set[str] = set()
        self._lost: set[int] = set()
        self._reported_lost: set[int] = set()
        self._failed: dict[str, str] = {}
        self._save_seconds = 0.0

    def register(self, caches: Mapping[str, Tensor]) -> None:
        """Called once, when the cache is there; raises `ShapeError` if it is not what the configuration says."""
        cache = CacheBlocks(caches, self.engine.block_bytes)
        if len(cache.rows) != self.engine.num_layers:
            raise ShapeError(f"KV cache: expected {self.engine.num_layers} layers, got {len(cache.rows)}")
        self.cache = cache

    def begin_step(self, meta: StepMeta) -> None:
        """Before the forward. What was promised comes first, each by itself: one that fails harms no other."""
        self._lost |= meta.lost_blocks
        if meta.epoch != self._epoch:
            self._epoch = meta.epoch
            self.engine = self.transfers.engine = self.saver.engine = self.engine.renewed(meta.epoch)
        for order in meta.take_overs:
            self._take_over(order)
        for request_id in meta.drops:
            self._drop(request_id)
        for load in meta.loads:
            self._begin_load(load)
        for race in meta.races:
            self._begin_race(race)
        for request_id, frontier in meta.frontiers.items():
            if request_id in self.racers:
                self.racers[request_id].advance(frontier)

    def lose_promises(self, meta: StepMeta) -> None:
        """The beginning of a step went wrong: what was promised in it and is not under way is reported as failed."""
        for take_over in meta.take_overs:
            self._fail(take_over.request_id, "take-over", take_over.block_ids)
        under_way = {id(loader.order) for loader in (*self.loaders.values(), *self.layer_loads)}
        for load in meta.loads:
            if id(load) not in under_way:
                self._fail(load.request_id, "load", load.block_ids)
                self._received |= set() if load.by_layer else {load.request_id}

    def _take_over(self, order: TakeOver) -> None:
        try:
            assert self.cache is not None  # noqa: S101
            for block_ids, blocks in self.racers[order.request_id].take(order):
                self.cache.copy_in(block_ids, blocks)
        except Exception as error:
            logger.exception("gainful: staged blocks could not be copied; they are computed instead")
            self._fail(order.request_id, f"take-over: {error}", order.block_ids)
        racer = self.racers.pop(order.request_id, None)
        if racer is not None:
            racer.finish(handed_over=True)

    def _begin_load(self, order: PrefixLoad) -> None:
        try:
            assert self.cache is not None  # noqa: S101
            loader = PrefixLoader(order, self.transfers, self.cache)
            self.transfers.pool.submit(loader.load)
        except Exception as error:
            logger.exception("gainful: a load could not be begun; it is computed instead")
            self._fail(order.request_id, f"load: {error}", order.block_ids)
            if not order.by_layer:
                self._received.add(order.request_id)
            return
        if order.by_layer:
            self.layer_loads.append(loader)
        else:
            self.loaders[order.request_id] = loader

    def _begin_race(self, order: Race) -> None:
        racer = Racer(order, self.transfers)
        self.racers[order.request_id] = racer
        self.transfers.pool.submit(racer.stream)

    def _drop(self, request_id: str) -> None:
        if racer := self.racers.pop(request_id, None):
            racer.finish(handed_over=False)
        if loader := self.loaders.get(request_id):  # still to be reported as received
            loader.close(DROPPED)

    def wait_for_layer(self, layer_name: str) -> None:
        """Inside the forward, before a layer's attention."""
        if not self.layer_loads:
            return
        assert self.cache is not None  # noqa: S101
        layer, start = self.cache.layer_of.get(layer_name, len(self.cache.rows) - 1), time.monotonic()
        for loader in self.layer_loads:
            if not loader.wait_for(layer):
                loader.close("deadline")
        self.counters.add("seconds", "stall", by=time.monotonic() - start)

    def save(self, meta: StepMeta) -> None:
        """After the forward; never what was computed upon blocks that did not come."""
        if not meta.saves or self.cache is None or meta.lost_blocks:
            return
        start = time.monotonic()
        spoiled = {load.order.request_id for load in self.layer_loads if not load.is_usable()} | self._failed.keys()
        for order in meta.saves:
            if order.request_id not in spoiled:
                self.saver.save(order, self.cache)
        self._save_seconds = time.monotonic() - start
        self.counters.add("seconds", "save_copy", by=self._save_seconds)

    def take_received(self) -> set[str]:
        """Asynchronous loads that are over, each once: complete, failed, late or dropped."""
        over = {request_id for request_id, loader in self.loaders.items() if loader.is_over()}
        for request_id in over:
            self._account(self.loaders.pop(request_id))
        received, self._received = self._received, set()
        return over | received

    def take_lost_blocks(self) -> set[int]:
        """Blocks that were promised and hold nothing usable; after `take_received`, in the same step."""
        for loader in self.layer_loads:
            if not loader.is_usable():
                loader.close("not waited for")
                self._account(loader)
        self._reported_lost, self._lost = self._lost, set()
        return self._reported_lost

    def _account(self, loader: PrefixLoader) -> None:
        if loader.failure and loader.failure != DROPPED:
            self._fail(loader.order.request_id, loader.failure, loader.missing_blocks())

    def _fail(self, request_id: str, why: str, block_ids: tuple[int, ...]) -> None:
        self._failed[request_id] = why
        self._lost |= set(block_ids)

    def report(self) -> WorkerMeta:
        """At the end of every step, after `take_lost_blocks`."""
        spans = {request_id: [racer.span()] for request_id, racer in self.racers.items()}
        failed, self._failed = self._failed, {}
        seconds, self._save_seconds = self._save_seconds, 0.0
        return WorkerMeta(spans, failed, self._reported_lost, self.transfers.samples(), seconds)

    def end_step(self) -> None:
        """Layer-wise loads belong to one step; what is left of them must not be seen by the next."""
        for loader in self.layer_loads:
            loader.close("step is over")
        self.layer_loads = []

    def close(self) -> None:
        """Give up what runs, and let go of the store."""
        self.transfers.close()
        for request_id in [*self.racers]:
            self._drop(request_id)
        self.saver.flush(min(FLUSH_SECONDS, self.engine.options.save_seconds))
        self.saver.close()
        self.store.close()
