"""How long a request that should be streamed as a whole is held back from the engine.

Where the plan says `stream`, one engine step may take longer than the whole transfer, and a step cannot be left; so
nothing is computed at first. A link may turn out slower than it was: then the engine begins all the same, and both
routes run towards each other.
"""

from gainful.sparkv.planner import Plan, Prediction

__all__ = ["SLACK", "patience_s"]

SLACK = 0.25
"""Share by which a transfer may be late. Ours."""


def patience_s(plan: Plan) -> float:
    """Seconds to wait before computing begins: 0 unless the plan is to stream everything.

    Never longer than plain prefill would take, so that a request is at most as late again as without a store.
    """
    if plan.route != "stream" or not isinstance(plan.prediction, Prediction):
        return 0.0
    return min((1.0 + SLACK) * plan.prediction.stream_only_seconds, plan.prediction.compute_only_seconds)
