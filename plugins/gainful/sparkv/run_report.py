"""What became of one request: predicted against actual, tokens by route, work done twice."""

import math

from pydantic import NonNegativeFloat, NonNegativeInt

from gainful.config import Options
from gainful.sparkv.planner import Plan, Prediction
from gainful.sparkv.rebalancer import Rebalancer, State

__all__ = ["RaceReport", "race_report"]


class RaceReport(Options):
    """One race as a record; null stands for what has not happened, or what no model could tell."""

    state: State
    stopped: str
    """Why fetching was ended early: `deadline`, `failures`, the caller's reason, or empty."""
    seconds: NonNegativeFloat
    """From the start to the end of the race, or to the report while it is open."""
    met_after_seconds: NonNegativeFloat | None
    predicted_seconds: NonNegativeFloat | None
    """Of the best split; what two pointers should take if nothing changes."""
    bound_seconds: NonNegativeFloat | None
    computed_tokens: NonNegativeInt
    """By the engine, those included that were dropped by a preemption."""
    streamed_tokens: NonNegativeInt
    """Handed over."""
    duplicate_tokens: NonNegativeInt
    """Fetched and not handed over: the engine computed them as well, or will."""
    fetched_bytes: NonNegativeInt
    fetched_chunks: NonNegativeInt
    failed_chunks: NonNegativeInt
    evicted_chunks: NonNegativeInt
    in_flight_at_close: NonNegativeInt
    """Chunks on their way when the race ended; part of their bytes were sent in vain."""

    @property
    def over_bound(self) -> float | None:
        """Seconds over what was predicted to be the least; below 1 if the routes turned out faster than predicted."""
        return self.seconds / self.bound_seconds if self.bound_seconds else None


def race_report(race: Rebalancer, plan: Plan | None, now: float) -> RaceReport:
    """Account for a race, open or over; once in-flight chunks were reported, a later call counts them too."""
    layout = race.layout
    streamed = race.handed_over_tokens
    prediction = plan.prediction if plan else None
    known = prediction if isinstance(prediction, Prediction) else None
    return RaceReport(
        state=race.state,
        stopped=race.stopped,
        seconds=(now if race.is_open else race.closed_s) - race.started_s,
        met_after_seconds=None if math.isnan(race.met_s) else race.met_s - race.started_s,
        predicted_seconds=known.hybrid_seconds if known else None,
        bound_seconds=known.bound_seconds if known else None,
        computed_tokens=race.computed_tokens - layout.first_token + race.preempted_tokens,
        streamed_tokens=streamed,
        duplicate_tokens=max(0, race.fetched_chunks * layout.chunk_tokens - streamed),
        fetched_bytes=race.fetched_bytes,
        fetched_chunks=race.fetched_chunks,
        failed_chunks=race.failed_chunks,
        evicted_chunks=race.evicted_chunks,
        in_flight_at_close=race.in_flight_at_close,
    )
