"""`two_pointer`: the engine computes from the front, workers stream from the back, then vLLM asks us once more."""

from typing import Any

from gainful.sparkv.patience import patience_s
from gainful.sparkv.planner import Plan, Prediction
from gainful.sparkv.staged import StagedSpan
from gainful_vllm.knowledge import chunk_layout
from gainful_vllm.meta import Race, StepMeta, TakeOver, WorkerMeta
from gainful_vllm.requests import ASK_LATER, COMPUTE, Answer, TrackedRequest

__all__ = ["TwoPointerRequest"]

MAX_REQUEUES = 2
"""A request that went back to the queue so often in vain is computed. Ours."""
MAX_FORECASTS = 3
"""Steps of a request that are cut short for what should come; after that only for what is there. Ours."""


class TwoPointerRequest(TrackedRequest):
    """waiting for the lookup -> held (the plan streams it all) or racing -> taken over, or computed."""

    mode = "two_pointer"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_decided = self.is_held = False
        self.first_token = self.end_token = 0
        self.decided_s = self.step_s = 0.0
        self.chunk_bytes = 0
        self.plan: Plan | None = None
        self.span: StagedSpan | None = None
        self.order: Race | None = None
        self.num_requeues = self.num_forecasts = 0

    def matched(self, local_tokens: int, now: float) -> Answer:
        """Nothing until both routes have met; `ask later` while nothing should be computed."""
        self.see_local(local_tokens)
        if not self.is_decided and not self.over:
            if not self.is_looked_up():
                return ASK_LATER if now < self.hold_until_s else COMPUTE
            self._decide(local_tokens, now, may_hold=True)
        part = self._part_at(local_tokens)
        if part is not None:
            return part[1] - local_tokens, False
        self.is_held = self.is_held and not self.over and self._is_worth_waiting(local_tokens, now)
        return ASK_LATER if self.is_held else COMPUTE

    def _is_worth_waiting(self, local_tokens: int, now: float) -> bool:
        """The transfer can still reach what is computed, and is not too late for its plan."""
        staged, span = 0, self.span
        if span is not None:
            if not span.may_reach(local_tokens):
                return False
            staged = span.end_token - span.start_token
        share = staged / max(1, self.end_token - self.first_token)
        return now - self.decided_s < patience_s(self.plan, staged_share=share, step_seconds=self.step_s)

    def _decide(self, computed_tokens: int, now: float, *, may_hold: bool) -> None:
        self.is_decided = True
        engine, stored = self.engine, self.stored
        first = max(stored.start_chunk, computed_tokens // engine.chunk_tokens)
        usable = self.last_token - self.last_token % engine.block_tokens
        end = min(stored.end_chunk, -(-usable // engine.chunk_tokens))
        if end <= first or (end - first) * engine.chunk_tokens < engine.options.min_tokens:
            self.close("not_stored" if end <= first else "too_short")
            return
        sizes = stored.sizes[first - stored.start_chunk : end - stored.start_chunk]
        layout = chunk_layout(engine, first, sizes)
        plan = self.knowledge.plan_suffix(layout)
        if isinstance(plan.prediction, Prediction):
            self.predicted_seconds, self.bound_seconds = plan.prediction.hybrid_seconds, plan.prediction.bound_seconds
            if self.uses_plan and plan.route == "compute" and not self.knowledge.is_worth_a_try(layout):
                self.close(f"plan: {plan.reason}")
                return
        self.is_held = may_hold and self.uses_plan and plan.route == "stream"
        self.plan, self.decided_s, self.first_token = plan, now, first * engine.chunk_tokens
        self.step_s = self.knowledge.step_seconds(min(engine.step_tokens, self.prompt_tokens), computed_tokens)
        seconds = min(engine.options.load_seconds, self.params.max_seconds or engine.options.load_seconds)
        self.end_token, self.chunk_bytes = end * engine.chunk_tokens, max(sizes)
        self.order = Race(self.request_id, self.block_hashes, first, end, self.chunk_bytes, seconds)

    def _part_at(self, num_computed: int) -> tuple[int, int] | None:
        if self.over or self.span is None:
            return None
        return self.span.taken_at(num_computed, self.engine.block_tokens, self.last_token)

    def has_met(self, num_computed: int) -> bool:
        """Asked by the scheduler class before each step; true sends the request back to the queue."""
        if num_computed >= self.prompt_tokens or self._part_at(num_computed) is None:
            return False
        self.num_requeues += 1
        if self.num_requeues > MAX_REQUEUES:
            self.close("requeued in vain")
        return not self.over

    def step_limit(self, num_computed: int) -> int | None:
        """Asked by the scheduler class if nobody else shares the step; it should end where both routes will meet."""
        span = self.span
        if self.over or span is None or not self.uses_plan:
            return None
        limit = self.knowledge.trimmed_step(
            num_computed, span.start_token, self.chunk_bytes, forecast=self.num_forecasts < MAX_FORECASTS
        )
        self.num_forecasts += limit is not None and limit < self.engine.step_tokens
        return limit

    def allocated(self, block_ids: list[int], num_external: int, meta: StepMeta) -> None:
        """Order the copy: the blocks are filled before this step's forward."""
        if num_external <= 0:
            return
        first = self.local_tokens // self.engine.block_tokens
        taken = tuple(block_ids[first : first + num_external // self.engine.block_tokens])
        meta.take_overs.append(TakeOver(self.request_id, first, taken))
        self.streamed_tokens, self.met_at_token = num_external, self.local_tokens
        self.close("taken over")

    def step(self, meta: StepMeta, frontier: int, now: float) -> None:
        """Begin the race, and tell the workers how far computing is."""
        super().step(meta, frontier, now)
        if not self.is_decided and not self.over and self.is_looked_up():
            self._decide(frontier, now, may_hold=False)
        if not self.is_decided and frontier >= self.prompt_tokens:
            self.close("lookup late")
        if self.over or not self.is_decided:
            return
        if self.order is not None:
            meta.races.append(self.order)
            self.order = None
        meta.frontiers[self.request_id] = frontier
        if frontier >= self.end_token:
            self.close("computed")
            meta.drops.append(self.request_id)

    def learn(self, report: WorkerMeta) -> None:
        """Keep what all ranks have staged."""
        if self.request_id in report.spans:
            self.span = report.common(self.request_id, self.engine.tp_size)
        failure = report.failed.get(self.request_id)
        if failure is not None and self.streamed_tokens:
            self.failed_tokens, self.streamed_tokens = self.streamed_tokens, 0
            self.reason = f"failed: {failure}"
