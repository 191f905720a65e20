"""What became of one request, as its client gets it back in `kv_transfer_params["sparkv"]`."""

import math
from typing import TYPE_CHECKING, Any

from gainful.config import Options
from gainful_vllm.options import PARAMS

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from gainful_vllm.requests import TrackedRequest

__all__ = ["RequestReport", "report_of"]


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


def report_of(tracked: "TrackedRequest", request: "Request", now: float) -> dict[str, Any]:
    """As plain data, under the key that parameters are given by."""
    prefilled = now if math.isnan(tracked.prefilled_s) else tracked.prefilled_s
    done = tracked.frontier >= tracked.prompt_tokens
    seconds = prefilled - tracked.started_s if done else None
    computed = min(tracked.frontier, tracked.prompt_tokens) - tracked.first_local_tokens - tracked.streamed_tokens
    report = RequestReport(
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
    return {PARAMS: report.model_dump()}
