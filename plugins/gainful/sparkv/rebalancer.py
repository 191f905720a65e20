"""Two pointers: the engine computes from the front, the store streams from the back, until they meet.

Both routes always have work, so no forecast is needed: whatever link and engine do, they meet where the best split
would have been in hindsight, within one chunk. Sans-IO: no clock, no thread, no network; the caller reports what
happened and when.

    racing --on_fetched, on_computed--> met --hand_over--> handed_over
    racing, met --on_computed up to the end--> computed
    met --on_evicted, on_preempted--> racing
    racing, met --cancel--> cancelled

Source: SparKV, arXiv 2604.21231, re-balances at run time by moving chunks between the routes when a sliding window of
actual over predicted time says so. Differs from it: no window, no prediction, no cap; the routes approach each other.
"""

import math
from typing import Literal, NamedTuple

from pydantic import NonNegativeInt, PositiveInt

from gainful.config import Options
from gainful.errors import InputError
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.staged import StagedSpan
from gainful.sparkv.suffix import StagedSuffix

__all__ = ["DEFAULTS", "Rebalancer", "RebalancerOptions", "Span", "State"]

State = Literal["racing", "met", "handed_over", "computed", "cancelled"]


class RebalancerOptions(Options):
    """How the back pointer moves; defaults are ours."""

    window_chunks: PositiveInt = 2
    """Chunks in flight at once; see `gainful.sparkv.link.window_chunks`."""
    max_failures: NonNegativeInt = 2
    """Failed chunks that are borne; with one more, nothing is fetched any longer."""


DEFAULTS = RebalancerOptions()


class Span(NamedTuple):
    """Tokens [start, end) that are staged and follow what is computed, on block boundaries."""

    start_token: int
    end_token: int
    first_chunk: int
    """The chunk that holds `start_token`."""
    end_chunk: int


class Rebalancer:
    """One request on its way to its first token.

    Hooks may call `next_fetch` and `met` in every step: both are O(1), do not wait and never raise. Every event
    (`on_...`) is reported once. `now` is seconds of any monotonic clock, the same for all calls. One thread at a time.

    What failed is never asked for again. A hole ends the streamable span: what is offered is contiguous up to its end,
    and all other chunks are left to the engine, so no chunk is ever lost.
    """

    __slots__ = (
        "_suffix", "closed_s", "computed_tokens", "deadline_s", "evicted_chunks", "failed_chunks", "fetched_bytes",
        "fetched_chunks", "handed_over_tokens", "in_flight_at_close", "layout", "max_failures", "met_s",
        "preempted_tokens", "started_s", "state", "stopped", "window_chunks",
    )  # fmt: skip

    def __init__(
        self,
        layout: ChunkLayout,
        *,
        now: float,
        deadline_s: float = math.inf,
        options: RebalancerOptions = DEFAULTS,
    ) -> None:
        """Start both pointers.

        Args:
            layout: What can be streamed; the tokens before it are computed already.
            now: The present.
            deadline_s: The time, on the same clock, from which nothing is fetched and nothing in flight is waited for.
            options: Window and failures.
        """
        self.layout, self.max_failures = layout, options.max_failures
        self.window_chunks = options.window_chunks  # may be set anew when the link's estimate changes
        self.started_s, self.deadline_s = now, deadline_s
        self.met_s = self.closed_s = math.nan
        self.state: State = "racing"
        self.stopped = ""
        self.computed_tokens = layout.first_token
        self.fetched_chunks = self.failed_chunks = self.evicted_chunks = 0
        self.fetched_bytes = self.preempted_tokens = self.in_flight_at_close = self.handed_over_tokens = 0
        self._suffix = StagedSuffix(layout.num_chunks)
        self._settle(now)

    @property
    def is_open(self) -> bool:
        """False once handed over, computed or cancelled."""
        return self.state == "racing" or self.state == "met"

    @property
    def can_meet(self) -> bool:
        """False if nothing is staged and nothing will be: the engine does the rest, and staging memory can be freed."""
        suffix, lowest = self._suffix, self._frontier_chunk()
        is_coming = suffix.in_flight > 0 or suffix.has_more(lowest)
        return self.is_open and max(lowest, suffix.floor) < suffix.end and (suffix.start < suffix.end or is_coming)

    def next_fetch(self, now: float) -> int | None:
        """The chunk to ask the store for now; None if the window is full or nothing is left to fetch.

        Call until it returns None. The chunk that the engine is computing is offered too: both routes race for it.
        """
        if self.state != "racing":
            return None
        if now >= self.deadline_s and not self.stopped:
            self.stop_streaming("deadline")
        if self._suffix.in_flight >= self.window_chunks:
            return None
        return self._suffix.offer(self._frontier_chunk())

    def met(self) -> Span | None:
        """The staged span if computing has reached it, else None. The engine may go on meanwhile; the span shrinks."""
        return self._span() if self.state == "met" else None

    def staged_span(self) -> StagedSpan:
        """What is here and contiguous, wherever computing is; for a scheduler in another process."""
        layout, suffix = self.layout, self._suffix
        is_coming = suffix.in_flight > 0 or suffix.has_more(self._frontier_chunk())
        floor = suffix.floor if self.is_open and is_coming else suffix.start
        return StagedSpan(*(layout.start_of(chunk) for chunk in (suffix.start, suffix.end, floor)))

    def on_fetched(self, chunk: int, now: float) -> None:
        """A chunk has arrived, is verified and decoded; it may come after the race, too.

        Raises:
            InputError: It was never asked for, or has been reported before.
        """
        is_wanted = self._suffix.take_back(chunk, "on_fetched")
        self.fetched_chunks += 1
        self.fetched_bytes += self.layout.bytes_of(chunk)
        if is_wanted and self.is_open:
            self._suffix.stage(chunk)
            self._settle(now)

    def on_failed(self, chunk: int, now: float) -> None:
        """A chunk that was asked for will not come: missing, late, damaged, refused.

        Raises:
            InputError: It was never asked for, or has been reported before.
        """
        is_wanted = self._suffix.take_back(chunk, "on_failed")
        self.failed_chunks += 1
        if is_wanted:
            self._suffix.exclude(chunk, self._frontier_chunk())
        if self.failed_chunks > self.max_failures:
            self.stop_streaming("failures")
        self._settle(now)

    def on_evicted(self, chunk: int, now: float) -> None:
        """A chunk is no longer to be had: the store lost it, or its staging memory was taken. May be told twice.

        Raises:
            InputError: There is no such chunk.
        """
        self.evicted_chunks += self._suffix.lose(chunk, self._frontier_chunk())
        self._settle(now)

    def on_computed(self, num_tokens: int, now: float) -> None:
        """The engine has computed the prompt up to this position, counted from its start.

        Raises:
            InputError: The position is behind the last one.
        """
        if num_tokens < self.computed_tokens:
            raise InputError(
                f"on_computed: expected at least {self.computed_tokens} tokens, got {num_tokens}; "
                "use on_preempted if computed blocks were dropped"
            )
        self.computed_tokens = num_tokens
        self._settle(now)

    def on_preempted(self, num_tokens: int, now: float) -> None:
        """The engine dropped computed blocks, and is back at this position.

        Raises:
            InputError: The position is ahead of the last one, or before the layout's first token.
        """
        if not self.layout.first_token <= num_tokens <= self.computed_tokens:
            raise InputError(
                f"on_preempted: expected {self.layout.first_token} to {self.computed_tokens} tokens, got {num_tokens}; "
                "begin anew if blocks before the layout were dropped"
            )
        self.preempted_tokens += self.computed_tokens - num_tokens
        self.computed_tokens = num_tokens
        self._settle(now)

    def stop_streaming(self, reason: str) -> None:
        """Ask for nothing more and wait for nothing in flight; what is staged and contiguous stays."""
        self.stopped = self.stopped or reason
        self._suffix.stop()

    def hand_over(self, now: float) -> Span:
        """Take the span: the engine loads it, and the race is over.

        Raises:
            InputError: The routes have not met.
        """
        if self.state != "met":
            raise InputError(f"hand_over: expected state 'met', got {self.state!r}; ask met() first")
        self._close("handed_over", now)
        span = self._span()
        self.handed_over_tokens = span.end_token - span.start_token
        return span

    def cancel(self, now: float) -> None:
        """The request was aborted, or goes on without us. Harmless when the race is over."""
        if self.is_open:
            self._close("cancelled", now)

    def unneeded_in_flight(self) -> list[int]:
        """Chunks on their way for which nobody waits any longer: abort them where the store can, then report them."""
        return self._suffix.unneeded(self._frontier_chunk() if self.is_open else self.layout.num_chunks)

    def _settle(self, now: float) -> None:
        """The state that follows from where both pointers are."""
        if not self.is_open:
            return
        layout, suffix = self.layout, self._suffix
        if self.computed_tokens >= layout.end_token:
            self._close("computed", now)
        elif layout.start_of(suffix.start) <= self.computed_tokens < layout.start_of(suffix.end):
            if self.state == "racing":
                self.state, self.met_s = "met", now
        else:
            self.state = "racing"

    def _close(self, state: State, now: float) -> None:
        self.state, self.closed_s = state, now
        self.in_flight_at_close = self._suffix.in_flight

    def _frontier_chunk(self) -> int:
        """The chunk that the engine computes now; nothing before it is worth fetching."""
        return (self.computed_tokens - self.layout.first_token) // self.layout.chunk_tokens

    def _span(self) -> Span:
        layout, end = self.layout, self._suffix.end
        done = self.computed_tokens - layout.first_token
        start = layout.first_token + done - done % layout.block_tokens
        return Span(start, layout.start_of(end), done // layout.chunk_tokens, end)
