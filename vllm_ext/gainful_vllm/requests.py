"""One request on the scheduler's side: what is stored of it, what was decided, what became of it."""

import math
from concurrent.futures import Future
from typing import TYPE_CHECKING

from gainful_vllm.lookup import NOTHING, Found
from gainful_vllm.meta import Save, StepMeta, WorkerMeta
from gainful_vllm.options import RequestParams

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from gainful_vllm.engine import Engine
    from gainful_vllm.knowledge import Knowledge

__all__ = ["ASK_LATER", "COMPUTE", "Answer", "TrackedRequest"]

Answer = tuple[int | None, bool]
COMPUTE: Answer = (0, False)
ASK_LATER: Answer = (None, False)


class TrackedRequest:
    """A request that is only computed, and saved. Its subclasses stream.

    `matched` is asked for waiting requests only, perhaps in every step; it answers from memory.
    """

    mode = "compute"

    def __init__(
        self,
        request: "Request",
        params: RequestParams,
        engine: "Engine",
        knowledge: "Knowledge",
        lookup: "Future[Found] | None",
        now: float,
    ) -> None:
        self.request_id = request.request_id
        self.params, self.engine, self.knowledge = params, engine, knowledge
        self.block_hashes: tuple[bytes, ...] = tuple(request.block_hashes)
        self.prompt_tokens = request.num_prompt_tokens
        self.started_s, self.hold_until_s = now, now + engine.options.lookup_seconds
        self.prefilled_s = math.nan
        self.lookup = lookup
        self.found: Found | None = None
        self.over = lookup is None
        """True once nothing is asked of the store any more; final, or a failing load would be offered for ever."""
        self.reason = "" if lookup is not None else "compute"
        """Why it went as it went."""
        self.local_tokens = self.first_local_tokens = self.frontier = 0
        self._was_asked = False
        self.streamed_tokens = self.failed_tokens = 0
        self.met_at_token: int | None = None
        self.predicted_seconds: float | None = None
        self.bound_seconds: float | None = None
        self.wants_saving = engine.options.save and params.save is not False
        self.saved = not self.wants_saving

    @property
    def last_token(self) -> int:
        """The engine computes from here on at the latest: it samples from the prompt's last token."""
        return self.prompt_tokens - 1

    @property
    def uses_plan(self) -> bool:
        """Whether the cost model decides."""
        return self.engine.options.use_plan if self.params.use_plan is None else self.params.use_plan

    @property
    def stored(self) -> Found:
        """What the lookup found, if it is known."""
        if self.found is None and self.lookup is not None and self.lookup.done():
            self.found = self.lookup.result()
        return self.found or NOTHING

    def is_looked_up(self) -> bool:
        """The store has answered."""
        return self.lookup is not None and self.lookup.done()

    def close(self, reason: str) -> None:
        """Ask for nothing any more."""
        self.over = True
        self.reason = self.reason or reason

    # the hooks, in the order in which they are called

    def matched(self, local_tokens: int, now: float) -> Answer:
        """How many tokens behind the local ones can be had."""
        self.see_local(local_tokens)
        return COMPUTE

    def see_local(self, local_tokens: int) -> None:
        """What the prefix cache holds; at the first time, none of it is what this request computed."""
        self.local_tokens = self.frontier = local_tokens
        if not self._was_asked:
            self.first_local_tokens, self._was_asked = local_tokens, True

    def allocated(self, block_ids: list[int], num_external: int, meta: StepMeta) -> None:
        """Blocks for what was promised."""

    def has_met(self, num_computed: int) -> bool:
        """Whether a running prefill should be asked about once more."""
        return False

    def step_limit(self, num_computed: int) -> int | None:
        """Tokens of the next step, if it should be shorter than usual."""
        return None

    def step(self, meta: StepMeta, frontier: int, now: float) -> None:
        """What the workers should do in this step, after which `frontier` tokens are computed."""
        self.frontier = frontier

    def learn(self, report: WorkerMeta) -> None:
        """What the workers have done."""

    def is_computed_anew(self) -> None:
        """Blocks did not come: the prefill is not over, and what was computed upon them was not saved."""
        self.prefilled_s = math.nan
        self.frontier = min(self.frontier, self.last_token)
        self.saved = not self.wants_saving

    def saves(self, frontier: int, block_ids: list[int]) -> list[Save]:
        """What this step makes worth saving: the chunks that are not stored, once, when the prefill ends."""
        if self.saved or frontier < self.prompt_tokens:
            return []
        self.saved = True
        if self.streamed_tokens and self.engine.codec.lossy:
            return []
        num_chunks, per_chunk = self.prompt_tokens // self.engine.chunk_tokens, self.engine.options.chunk_blocks
        stored = self.stored
        gaps = [(0, min(stored.start_chunk, num_chunks)), (stored.end_chunk, num_chunks)]
        return [
            Save(self.request_id, self.block_hashes, first, tuple(block_ids[first * per_chunk : end * per_chunk]))
            for first, end in gaps
            if first < end
        ]
