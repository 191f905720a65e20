"""How long a request that should be streamed as a whole is held back from the engine.

Where the plan says `stream`, one engine step may take longer than the whole transfer, and a step cannot be left; so
nothing is computed at first. A link may turn out slower than it was: then the engine begins all the same, and both
routes run towards each other.
"""

from gainful.sparkv.planner import Plan, Prediction
from gainful.sparkv.prefix_plan import PrefixPlan

__all__ = ["SLACK", "load_patience_s", "patience_s"]

SLACK = 0.25
"""Share by which a transfer may be late, and share of plain prefill that may be lost to a link that is dead. Ours."""


def patience_s(plan: Plan) -> float:
    """Seconds to wait before computing begins: 0 unless the plan is to stream everything.

    The longer of the transfer with its slack and a quarter of plain prefill, since short transfers are predicted badly
    and a step that was begun is not cheaper; never longer than plain prefill would take.
    """
    if plan.route != "stream" or not isinstance(plan.prediction, Prediction):
        return 0.0
    streamed, computed = plan.prediction.stream_only_seconds, plan.prediction.compute_only_seconds
    return min(max((1.0 + SLACK) * streamed, SLACK * computed), computed)


def load_patience_s(plan: PrefixPlan) -> float | None:
    """Seconds after which a planned prefix load is ended and the rest of it computed; None if nothing was predicted.

    Twice the prediction or a quarter of plain prefill, whichever is longer (ours): what has come by then is kept.
    """
    if plan.seconds is None or plan.compute_only_seconds is None:
        return None
    return max(2.0 * plan.seconds, SLACK * plan.compute_only_seconds)
