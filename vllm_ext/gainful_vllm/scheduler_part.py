"""The scheduler part: keeps one record per request, answers from memory, and tells the workers what to do."""

import math
import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from gainful.errors import ConfigError
from gainful.sparkv.costs import PrefillSample
from gainful.sparkv.stores import Store
from gainful_vllm.guard import logger
from gainful_vllm.knowledge import Knowledge
from gainful_vllm.lookup import Lookups
from gainful_vllm.meta import StepMeta, WorkerMeta
from gainful_vllm.options import PARAMS, Mode, RequestParams, read_params
from gainful_vllm.prefix_stream import AsyncPrefixRequest, LayerwiseRequest
from gainful_vllm.report import count, report_of
from gainful_vllm.requests import ASK_LATER, COMPUTE, Answer, TrackedRequest
from gainful_vllm.stats import Counters
from gainful_vllm.threads import pool
from gainful_vllm.two_pointer import TwoPointerRequest

if TYPE_CHECKING:
    from vllm.v1.core.kv_cache_manager import KVCacheManager
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.request import Request

    from gainful_vllm.engine import Engine

__all__ = ["SchedulerPart"]

KINDS = {kind.mode: kind for kind in (TrackedRequest, TwoPointerRequest, AsyncPrefixRequest, LayerwiseRequest)}
IDLE_SECONDS = 0.001
"""An engine that only waits gives way for so long, or its loop would starve the threads it waits for."""


class SchedulerPart:
    """One per engine, in the process of its scheduler; all hooks are called by one thread."""

    def __init__(self, engine: "Engine", store: Store, mode: Mode) -> None:
        self.engine, self.store, self.mode = engine, store, mode
        self.counters = Counters()
        self.knowledge = Knowledge(engine)
        self.lookups = Lookups(engine, store, self.knowledge, self.counters)
        self.requests: dict[str, TrackedRequest] = {}
        self._hosts: dict[str, Request] = {}
        self._epoch = ""
        self._meta = StepMeta()
        self.fitter = pool(1, "fit", gives_way=True)
        self._timed: tuple[int, int, float] | None = None
        self._said_params = False

    def add(self, request: "Request") -> None:
        """A request has come in: begin to ask the store about it."""
        now = time.monotonic()
        params = self._params(request)
        mode = self._mode_of(request, params)
        hashes = request.block_hashes
        wants = mode != "compute" and len(hashes) >= self.engine.options.chunk_blocks
        lookup = self.lookups.start(hashes) if wants else None
        kind = KINDS[mode if lookup is not None else "compute"]
        self._hosts[request.request_id] = request
        self.requests[request.request_id] = kind(request, params, self.engine, self.knowledge, lookup, now)

    def _params(self, request: "Request") -> RequestParams:
        try:
            return read_params(request.kv_transfer_params)
        except ConfigError as error:
            self.counters.add("fallbacks", "bad parameters")
            if not self._said_params:
                self._said_params = True
                logger.warning("gainful: a request's parameters are ignored (said once): %s", error)
            return RequestParams()

    def _mode_of(self, request: "Request", params: RequestParams) -> str:
        plain = request.sampling_params is None or request.skip_reading_prefix_cache or request.resumable
        if plain or request.sampling_params.prompt_logprobs is not None:
            return "compute"  # what such requests return needs every token's forward
        wanted = params.mode or self.mode
        can_race = self.mode == "two_pointer"
        return "compute" if wanted == "two_pointer" and not can_race else wanted

    def matched(self, request: "Request", num_computed: int) -> Answer:
        """Asked for waiting requests, perhaps in every step."""
        if num_computed and self._rests_on_a_promise(request, num_computed):
            return ASK_LATER
        tracked = self.requests.get(request.request_id)
        if tracked is None or request.num_output_tokens:
            return COMPUTE  # preempted while decoding: its prompt is in the prefix cache, or is computed
        return tracked.matched(num_computed, time.monotonic())

    def _rests_on_a_promise(self, request: "Request", num_computed: int) -> bool:
        """Whether its local hit holds blocks that another request is promised in this very step.

        vLLM caches their hashes at once. If they do not come, it would let both requests go on as if the other one had
        computed them; so nobody shares them before they are there.
        """
        orders = (*self._meta.take_overs, *(load for load in self._meta.loads if load.by_layer))
        block_tokens, hashes = self.engine.block_tokens, request.block_hashes
        return any(
            order.first_block < num_computed // block_tokens
            and hashes[order.first_block] == self.requests[order.request_id].block_hashes[order.first_block]
            for order in orders
        )

    def has_met(self, request: "Request") -> bool:
        """Asked by the scheduler class for running requests, before each step."""
        tracked = self.requests.get(request.request_id)
        return tracked is not None and not request.num_output_tokens and tracked.has_met(request.num_computed_tokens)

    def step_limit(self, request: "Request") -> int | None:
        """Asked by the scheduler class for the only request there is."""
        tracked = self.requests.get(request.request_id)
        return tracked.step_limit(request.num_computed_tokens) if tracked and not request.num_output_tokens else None

    def allocated(self, request: "Request", block_ids: list[int], num_external: int) -> None:
        """After blocks were allocated."""
        self.requests[request.request_id].allocated(block_ids, num_external, self._meta)

    def promise_lost(self, block_ids: list[int]) -> None:
        """Something went wrong after tokens were promised: have these blocks reported as failed."""
        self._meta.lost_blocks.update(block_ids)

    def take_meta(self) -> StepMeta:
        """What was ordered since the last step; it must reach the workers whatever else fails."""
        meta, self._meta = self._meta, StepMeta()
        meta.epoch = self._epoch
        return meta

    def plan_step(self, meta: StepMeta, output: "SchedulerOutput") -> None:
        """Called once per step, also when nothing is scheduled."""
        now = time.monotonic()
        scheduled = output.num_scheduled_tokens
        for request_id, tracked in self.requests.items():
            num_tokens = scheduled.get(request_id, 0)
            if tracked.over and not num_tokens:
                continue
            host = self._hosts[request_id]
            frontier = host.num_computed_tokens + num_tokens if num_tokens else tracked.frontier
            tracked.step(meta, frontier, now)
            if num_tokens and not tracked.saved:
                self._order_saves(meta, tracked, frontier, output)
        self._time_step(scheduled, meta, now)
        if not scheduled and self.requests:
            time.sleep(IDLE_SECONDS)

    def _order_saves(self, meta: StepMeta, tracked: TrackedRequest, frontier: int, output: "SchedulerOutput") -> None:
        if frontier < tracked.prompt_tokens or output.kv_connector_block_state is None:
            return
        if self.engine.tp_size > 1 and tracked.request_id in _promised(meta):
            return  # another rank may lack its part, and what this one computes upon it would be wrong
        block_ids = output.kv_connector_block_state.get_block_ids(tracked.request_id)
        if block_ids is not None:
            meta.saves.extend(tracked.saves(frontier, block_ids[0]))

    def _time_step(self, scheduled: dict[str, int], meta: StepMeta, now: float) -> None:
        """A step with one prefill and nothing else is a measurement."""
        self._timed = None
        if len(scheduled) == 1 and not meta.loads and not meta.take_overs:
            ((request_id, num_tokens),) = scheduled.items()
            host = self._hosts.get(request_id)
            if host is not None and num_tokens > 1:
                self._timed = (num_tokens, host.num_computed_tokens, now)

    def learn(self, report: WorkerMeta, cache: "KVCacheManager | None") -> None:
        """After each step, before the next one is scheduled."""
        if report.lost_blocks and cache is not None:
            self._evict(report, cache)
        for num_bytes, seconds in report.transfers:
            self.knowledge.observe_transfer(num_bytes, seconds)
        now = time.monotonic()
        for tracked in self.requests.values():
            tracked.learn(report)
            if tracked.request_id in report.failed:
                tracked.is_computed_anew()
            if math.isnan(tracked.prefilled_s) and tracked.frontier >= tracked.prompt_tokens:
                tracked.prefilled_s = now
        self._observe_step(report)

    def _evict(self, report: WorkerMeta, cache: "KVCacheManager") -> None:
        """vLLM leaves the hashes of lost blocks, and of what was computed upon them, where others would find them."""
        spoiled = set(report.lost_blocks)
        for request_id in report.failed.keys() & self.requests.keys():
            block_ids = cache.get_block_ids(request_id)[0]
            first = next((index for index, block in enumerate(block_ids) if block in report.lost_blocks), None)
            spoiled.update(block_ids[first:] if first is not None else ())
        cache.evict_blocks(spoiled)

    def _observe_step(self, report: WorkerMeta) -> None:
        timed, self._timed = self._timed, None
        if timed is None or report.failed:
            return
        num_tokens, position, started_s = timed
        seconds = time.monotonic() - started_s - report.save_seconds
        if seconds > 0.0 and self.knowledge.observe_step(
            PrefillSample(num_tokens=num_tokens, position=position, seconds=seconds)
        ):
            self.fitter.submit(self.knowledge.refit)

    def renew(self) -> None:
        """Void all that is stored, as after a change of the weights; running requests are only computed."""
        self._epoch = token_hex(8)
        self.engine = self.lookups.engine = self.engine.renewed(self._epoch)
        for tracked in self.requests.values():
            tracked.saved, tracked.wants_saving = True, False
            tracked.close("cache was reset")

    def finish(self, request: "Request") -> dict[str, Any] | None:
        """A request is over, however: free its state; what is returned reaches the client."""
        self._hosts.pop(request.request_id, None)
        tracked = self.requests.pop(request.request_id, None)
        if tracked is None:
            return None
        self._meta.drops.append(request.request_id)
        report = report_of(tracked, time.monotonic())
        count(report, self.counters)
        self.counters.level("link_bytes_per_second", self.knowledge.bytes_per_second)
        return {PARAMS: report.model_dump()}

    def close(self) -> None:
        """Let go of threads and store."""
        self.lookups.close()
        self.fitter.shutdown(wait=False, cancel_futures=True)
        self.store.close()


def _promised(meta: StepMeta) -> set[str]:
    """Requests whose forward of this step rests on blocks that are filled in this step."""
    return {order.request_id for order in meta.take_overs} | {load.request_id for load in meta.loads if load.by_layer}
