"""`async_prefix` and `layerwise`: a prefix whose length is decided once is loaded from the front."""

from typing import Any

from gainful.sparkv.patience import load_patience_s
from gainful_vllm.knowledge import chunk_layout
from gainful_vllm.meta import PrefixLoad, StepMeta, WorkerMeta
from gainful_vllm.requests import ASK_LATER, COMPUTE, Answer, TrackedRequest

__all__ = ["AsyncPrefixRequest", "LayerwiseRequest"]


class AsyncPrefixRequest(TrackedRequest):
    """The request waits until its prefix is here, or too late; other requests do not."""

    mode = "async_prefix"
    by_layer = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_decided = False
        self.end_token = 0
        self.load: PrefixLoad | None = None
        self.patience_s: float | None = None

    def matched(self, local_tokens: int, now: float) -> Answer:
        """The planned prefix, once."""
        self.see_local(local_tokens)
        if self.over:
            return COMPUTE
        if not self.is_looked_up():
            if now < self.hold_until_s:
                return ASK_LATER
            self.close("lookup late")
            return COMPUTE
        if not self.is_decided:
            self._decide(local_tokens)
        if self.end_token <= local_tokens:
            self.close("computed")  # by another request, meanwhile
            return COMPUTE
        return self.end_token - local_tokens, not self.by_layer

    def _decide(self, local_tokens: int) -> None:
        self.is_decided = True
        engine, stored = self.engine, self.stored
        first = local_tokens // engine.chunk_tokens
        usable = self.last_token - self.last_token % engine.block_tokens
        end = min(stored.end_chunk, -(-usable // engine.chunk_tokens))
        if not stored.start_chunk <= first < end or (end - first) * engine.chunk_tokens < engine.options.min_tokens:
            self.close("not_stored")
            return
        num_streamed = self._num_streamed(first, end)
        if not num_streamed:
            self.close(self.reason or "plan: gain_too_small")
            return
        self.end_token = min((first + num_streamed) * engine.chunk_tokens, usable)

    def _num_streamed(self, first: int, end: int) -> int:
        """Chunks from `first` on that are streamed: what was asked for, or what the plan says."""
        engine, stored = self.engine, self.stored
        if self.params.stream_tokens is not None:
            return min(max(0, self.params.stream_tokens // engine.chunk_tokens - first), end - first)
        at_least = self._at_least(first)
        if at_least > end - first:
            self.reason = "tail longer than a step"
            return 0
        sizes = stored.sizes[first - stored.start_chunk : end - stored.start_chunk]
        layout = chunk_layout(engine, first, sizes)
        stages = engine.num_layers if self.by_layer else 1
        plan = self.knowledge.plan_prefix(layout, num_stages=stages, at_least=at_least)
        self.predicted_seconds = plan.seconds
        if not self.uses_plan:
            return end - first
        self.patience_s = load_patience_s(plan)
        return plan.num_streamed

    def _at_least(self, first: int) -> int:
        return 0

    def allocated(self, block_ids: list[int], num_external: int, meta: StepMeta) -> None:
        """Order the load; once, whatever becomes of it."""
        if num_external <= 0:
            return
        engine, first_block = self.engine, self.local_tokens // self.engine.block_tokens
        end_token = self.local_tokens + num_external
        self.load = PrefixLoad(
            request_id=self.request_id,
            block_hashes=self.block_hashes,
            first_chunk=self.local_tokens // engine.chunk_tokens,
            end_chunk=-(-end_token // engine.chunk_tokens),
            first_block=first_block,
            block_ids=tuple(block_ids[first_block : end_token // engine.block_tokens]),
            max_seconds=self._max_seconds(),
            by_layer=self.by_layer,
        )
        meta.loads.append(self.load)
        self.streamed_tokens = num_external
        self.close("loaded")

    def _max_seconds(self) -> float:
        options = self.engine.options
        limit = options.stall_seconds if self.by_layer else options.load_seconds
        return min(limit, self.params.max_seconds or limit, self.patience_s or limit)

    def learn(self, report: WorkerMeta) -> None:
        """Blocks that did not come are computed; the request is never loaded again."""
        failure = report.failed.get(self.request_id)
        if failure is None or self.load is None:
            return
        block_ids = self.load.block_ids
        kept = next((index for index, block in enumerate(block_ids) if block in report.lost_blocks), len(block_ids))
        kept_tokens = 0 if self.by_layer else kept * self.engine.block_tokens
        kept_tokens = min(kept_tokens, self.streamed_tokens)  # ranks may fail in different steps
        self.failed_tokens += self.streamed_tokens - kept_tokens
        self.streamed_tokens = kept_tokens
        self.reason = f"failed: {failure}"


class LayerwiseRequest(AsyncPrefixRequest):
    """The forward that computes the rest waits for each layer's blocks when it comes to them."""

    mode = "layerwise"
    by_layer = True

    def _at_least(self, first: int) -> int:
        """Only one forward overlaps with the stream: what it does not compute in one step must be streamed."""
        too_long = self.prompt_tokens - first * self.engine.chunk_tokens - self.engine.step_tokens
        return max(0, -(-too_long // self.engine.chunk_tokens))
