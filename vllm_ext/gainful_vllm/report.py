"""What became of one request, as its client gets it back in `kv_transfer_params["sparkv"]`."""

import math
from typing import TYPE_CHECKING

from gainful.config import Options
from gainful_vllm.stats import Counters

if TYPE_CHECKING:
    from gainful_vllm.requests import TrackedRequest

__all__ = ["RequestReport", "count", "report_of"]

FALLBACKS = ("failed", "lookup late", "requeued in vain")
"""Outcomes in which something went wrong."""


class RequestReport(Options):
    """Tokens of the prompt by route, and how long it took; null stands for what is not known."""

    mode: str
    reason: str
    """Why it went as it went: `taken over`, `loaded`, `plan: ...`, `not_stored`, `failed: ...`."""
    prompt_tokens: int
    local_tokens: int
    """From the engine's prefix cache, before anything was computed or streamed."""
    computed_tokens: int
    streamed_tokens: int
    failed_tokens: int
    """Promised by the store and computed in the end."""
    met_at_token: int | None
    """Where both routes met."""
    seconds: float | None
    """From its arrival at the scheduler to the end of its prefill."""
    predicted_seconds: float | None
    over_bound: float | None
    """Seconds over the least that any assignment of chunks could have taken, as predicted."""


def report_of(tracked: "TrackedRequest", now: float) -> RequestReport:
    """Of a request that is over, finished or aborted."""
    prefilled = now if math.isnan(tracked.prefilled_s) else tracked.prefilled_s
    done = tracked.frontier >= tracked.prompt_tokens
    seconds = prefilled - tracked.started_s if done else None
    computed = min(tracked.frontier, tracked.prompt_tokens) - tracked.first_local_tokens - tracked.streamed_tokens
    return RequestReport(
        mode=tracked.mode,
        reason=tracked.reason,
        prompt_tokens=tracked.prompt_tokens,
        local_tokens=tracked.first_local_tokens,
        computed_tokens=max(0, computed),
        streamed_tokens=tracked.streamed_tokens,
        failed_tokens=tracked.failed_tokens,
        met_at_token=tracked.met_at_token,
        seconds=seconds,
        predicted_seconds=tracked.predicted_seconds,
        over_bound=seconds / tracked.bound_seconds if seconds is not None and tracked.bound_seconds else None,
    )


def count(report: RequestReport, counters: Counters) -> None:
    """Into the counters of the engine."""
    outcome = report.reason.partition(":")[0] or "aborted"
    counters.add("requests", report.mode, outcome)
    if outcome in FALLBACKS:
        counters.add("fallbacks", outcome)
    for route in ("local", "computed", "streamed", "failed"):
        counters.add("tokens", route, by=getattr(report, f"{route}_tokens"))
    counters.observe("prefill_seconds", report.seconds)
    counters.observe("predicted_seconds", report.predicted_seconds)
    counters.observe("over_bound", report.over_bound)
    if report.met_at_token is not None:
        counters.observe("met_at_share", report.met_at_token / report.prompt_tokens)
