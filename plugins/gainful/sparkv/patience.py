"""How long a request waits for a transfer before the engine computes after all.

Where the plan says `stream`, one engine step may take longer than the whole transfer, and a step cannot be left; so
nothing is computed at first. A link may turn out slower than it was: then the engine begins all the same, and both
routes run towards each other.
"""

from gainful.sparkv.planner import Plan, Prediction
from gainful.sparkv.prefix_plan import PrefixPlan

__all__ = ["HEAD_START", "SLACK", "load_patience_s", "patience_s"]

SLACK = 0.25
"""Share by which a transfer may be late, and share of plain prefill that may be lost to a link that is dead. Ours."""
HEAD_START = 0.25
"""Share of a transfer that need not have come yet, since it comes in chunks and begins with a round trip. Ours."""


def patience_s(plan: Plan, *, staged_share: float = 0.0, step_seconds: float = 0.0) -> float:
    """Seconds after the decision at which computing begins: 0 unless the plan is to stream everything.

    The predicted seconds of what has come, with a head start and slack: a link that gives nothing is left after a third
    of the transfer, one that keeps its pace is waited for.

        max(step, (1 + slack) S min(1, staged share + head start)), and never longer than plain prefill

    Args:
        plan: Made when the transfer began; S is its prediction.
        staged_share: Of what is to come, 0 to 1.
        step_seconds: What the engine's first step would take; a shorter wait is not worth the step.
    """
    if plan.route != "stream" or not isinstance(plan.prediction, Prediction):
        return 0.0
    due = (1.0 + SLACK) * plan.prediction.stream_only_seconds * min(1.0, staged_share + HEAD_START)
    return min(max(step_seconds, due), plan.prediction.compute_only_seconds)


def load_patience_s(plan: PrefixPlan) -> float | None:
    """Seconds after which a planned prefix load is ended and the rest of it computed; None if nothing was predicted.

    Twice the prediction or a quarter of plain prefill, whichever is longer (ours): what has come by then is kept.
    """
    if plan.seconds is None or plan.compute_only_seconds is None:
        return None
    return max(2.0 * plan.seconds, SLACK * plan.compute_only_seconds)
