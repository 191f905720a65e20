"""A request on both routes while link and engine change their rates: what each strategy takes, event by event.

Costs say what a chunk takes at the planned rates; traces say what the rates really are. A link of B bytes/s delivers
replies one after the other; a reply begins a round trip after its request, and decoding occupies the same route, as in
the cost model. Nothing else is simulated: no losses, no batches, no other requests.
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from gainful.sparkv.chunks import ChunkLayout, FloatArray
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.rebalancer import Rebalancer, RebalancerOptions
from gainful.sparkv.traces import RateTrace
from gainful.sparkv.trim import step_to_meet

__all__ = ["Race", "Situation", "compute_only_s", "hindsight_s", "race", "static_s", "stream_only_s"]


@dataclass(frozen=True, slots=True)
class Situation:
    """What really happens."""

    layout: ChunkLayout
    costs: RouteCosts
    """At the planned rates; only compute seconds and the round trip are used here."""
    link: RateTrace
    """Bytes per second."""
    engine: RateTrace
    """1 is the planned speed."""
    decode_seconds: float = 0.0

    def compute_ends(self) -> FloatArray:
        """When the first m chunks are computed, for m = 0 ... N: [N + 1]."""
        return self.engine.finishes(0.0, np.concatenate(([0.0], np.cumsum(self.costs.compute_s))))

    def stream_ends(self) -> FloatArray:
        """When the chunks from m on are here if they are streamed back to front without a pause: [N + 1]."""
        ends = np.zeros(self.layout.num_chunks + 1)
        free = self.costs.round_trip_s
        for chunk in range(self.layout.num_chunks - 1, -1, -1):
            free = self.link.finish(free, self.layout.bytes_of(chunk)) + self.decode_seconds
            ends[chunk] = free
        return ends


def compute_only_s(situation: Situation) -> float:
    """Plain prefill."""
    return float(situation.compute_ends()[-1])


def stream_only_s(situation: Situation) -> float:
    """Everything from the store."""
    return float(situation.stream_ends()[0])


def static_s(situation: Situation, split: int) -> float:
    """A split that is not changed any more: computes [0, split), streams the rest."""
    return float(max(situation.compute_ends()[split], situation.stream_ends()[split]))


def hindsight_s(situation: Situation) -> float:
    """The best split for what really happened."""
    return float(np.maximum(situation.compute_ends(), situation.stream_ends()).min())


@dataclass(frozen=True, slots=True)
class Race:
    """Two pointers, as they went."""

    seconds: float
    """Until every token is computed or streamed; infinity if both routes stand still."""
    computed: tuple[tuple[float, int], ...]
    """(time, chunks computed) after each step."""
    staged: tuple[tuple[float, int], ...]
    """(time, first chunk of the contiguous staged span) after each arrival."""
    met_chunk: int
    """Where they met: chunks that were computed, the last one perhaps in part."""


def race(
    situation: Situation,
    *,
    window_chunks: int,
    step_chunks: int = 1,
    interruptible: bool = True,
    trimmed: bool = False,
) -> Race:
    """Drive a `Rebalancer` with the events that the traces give.

    Args:
        situation: Rates over time.
        window_chunks: Chunks in flight.
        step_chunks: Chunks that the engine computes in one step.
        interruptible: False for an engine that finishes a step before it takes anything over, as engines do.
        trimmed: End the step where the planned rates let both routes meet, as `gainful.sparkv.trim` does.
    """
    return _Simulation(situation, window_chunks, step_chunks, interruptible, trimmed).run()


class _Simulation:
    """State of one race; times in seconds."""

    def __init__(
        self, situation: Situation, window_chunks: int, step_chunks: int, interruptible: bool, trimmed: bool
    ) -> None:
        self.situation = situation
        self.step_chunks, self.interruptible, self.trimmed = step_chunks, interruptible, trimmed
        options = RebalancerOptions(window_chunks=window_chunks)
        self.pointers = Rebalancer(situation.layout, now=0.0, options=options)
        self.arrivals: list[tuple[float, int]] = []
        self.link_free_s = 0.0
        self.num_computed = self.step_end = 0
        self.computed: list[tuple[float, int]] = [(0.0, 0)]
        self.staged: list[tuple[float, int]] = [(0.0, situation.layout.num_chunks)]

    def run(self) -> Race:
        now = 0.0
        step_done_s = self._begin_step(now)
        while self.pointers.is_open:
            self._request(now)
            arrival_s = self.arrivals[0][0] if self.arrivals else math.inf
            now = min(step_done_s, arrival_s)
            if math.isinf(now):
                return self._ended(math.inf)
            if step_done_s <= arrival_s:
                self._end_step(now)
                step_done_s = self._begin_step(now) if self.pointers.state == "racing" else now
            else:
                self._arrive(now)
            if self.pointers.met() and (self.interruptible or step_done_s <= now):
                self.pointers.hand_over(now)
        return self._ended(now)

    def _begin_step(self, now: float) -> float:
        self.step_end = min(self.num_computed + self.step_chunks, self.situation.layout.num_chunks)
        if self.trimmed and self.step_end > self.num_computed:
            self.step_end = self._meeting_chunk()
        work = float(self.situation.costs.compute_s[self.num_computed : self.step_end].sum())
        return self.situation.engine.finish(now, work)

    def _meeting_chunk(self) -> int:
        layout, costs, first = self.situation.layout, self.situation.costs, self.num_computed
        ends = np.arange(first + 1, self.step_end + 1)
        seconds = np.cumsum(costs.compute_s[first : self.step_end])
        staged = self.pointers.staged_span().start_token
        met = step_to_meet(
            seconds, layout.first_token + ends * layout.chunk_tokens, staged, layout.chunk_tokens, costs.stream_s.mean()
        )
        return (met - layout.first_token) // layout.chunk_tokens

    def _end_step(self, now: float) -> None:
        self.num_computed = self.step_end
        self.computed.append((now, self.num_computed))
        self.pointers.on_computed(self.situation.layout.start_of(self.num_computed), now)

    def _request(self, now: float) -> None:
        situation = self.situation
        while (chunk := self.pointers.next_fetch(now)) is not None:
            begin = max(now + situation.costs.round_trip_s, self.link_free_s)
            self.link_free_s = situation.link.finish(begin, situation.layout.bytes_of(chunk)) + situation.decode_seconds
            heapq.heappush(self.arrivals, (self.link_free_s, chunk))

    def _arrive(self, now: float) -> None:
        _, chunk = heapq.heappop(self.arrivals)
        self.pointers.on_fetched(chunk, now)
        self.staged.append((now, chunk))

    def _ended(self, seconds: float) -> Race:
        return Race(seconds, tuple(self.computed), tuple(self.staged), self.num_computed)
