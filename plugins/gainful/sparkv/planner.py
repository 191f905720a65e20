"""How many chunks to compute and how many to stream, if both routes keep their rates.

With compute costs that do not fall and equal stream costs the best assignment is to compute a prefix and stream the
rest: exchanging a computed chunk for an earlier one makes computing no slower and streaming no different. Engines take
nothing else anyway, because what they load must follow what they computed.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat

from gainful.config import Options
from gainful.sparkv.bound import lower_bound_s
from gainful.sparkv.chunks import FloatArray
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.unknown import Ignorance, Unknown

__all__ = ["DEFAULTS", "RACING", "Plan", "PlanReason", "PlannerOptions", "Prediction", "plan"]

PlanReason = Literal["hybrid_gains", "gain_too_small", "nothing_to_stream"] | Ignorance
"""Why a plan is what it is. All but the first decline to mix the routes."""


class PlannerOptions(Options):
    """What a mixed plan must gain over the better single route to be worth its trouble; the larger one counts."""

    min_gain_ratio: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the better single route's seconds. Ours."""
    min_gain_chunks: NonNegativeFloat = 2.0
    """In chunks at the meeting point, since routes meet within about one of them. Ours."""
    min_gain_over_compute: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Instead of both, where plain prefill is the better single route: share of its seconds."""


DEFAULTS = PlannerOptions()
RACING = PlannerOptions(min_gain_over_compute=0.03)
"""For two pointers, where the engine computes at its pace whatever the store does: a race against a slow link gains
little and costs nothing, while one against slow computing costs a step that cannot be left. Ours."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds by route; work that either way comes afterwards, such as the prompt's last token, is not in them."""

    seconds: float
    """Of the chosen plan: the longer of the next two."""
    compute_seconds: float
    """Of the chunks that the plan computes."""
    stream_seconds: float
    """Of those that it streams, round trip included; 0 if there are none."""
    compute_only_seconds: float
    stream_only_seconds: float
    hybrid_seconds: float
    """Of the best split, whether it was chosen or not."""
    hybrid_split: int
    """Chunks that the best split computes."""
    bound_seconds: float
    """No assignment of chunks to routes is faster, contiguous or not."""

    @property
    def over_bound(self) -> float:
        """Seconds of the plan over the bound, >= 1; 1 where nothing takes time."""
        return self.seconds / self.bound_seconds if self.bound_seconds > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Compute chunks [0, split), stream [split, num_chunks)."""

    split: int
    num_chunks: int
    route: Literal["hybrid", "compute", "stream"]
    reason: PlanReason
    prediction: Prediction | Unknown
    """Unknown where a model is; the route is then plain prefill. Two pointers need no prediction and may run all the
    same, which is how a link gets its first samples."""

    @property
    def declined(self) -> bool:
        """True if one route does it all."""
        return self.route != "hybrid"


def plan(costs: RouteCosts | Unknown, *, options: PlannerOptions = DEFAULTS, num_chunks: int = 0) -> Plan:
    """Find the best contiguous split exactly; decline where the better single route is about as good.

    T(m) = max(c_0 + ... + c_(m-1), R + s_m + ... + s_(N-1)), and without the round trip where m = N. All N + 1 splits
    are looked at, in a few array operations: cheap enough for a scheduler hook, and nothing in it waits or raises.

    Args:
        costs: What the chunks cost, from `route_costs`; or what is not known.
        options: When to decline.
        num_chunks: N for a plan without costs.

    Source: the objective is SparKV's sum of max(compute, stream), arXiv 2604.21231, with one stage.
    Differs from it: full-depth chunks, an exact split instead of a greedy schedule, and a bound.
    """
    if isinstance(costs, Unknown):
        return Plan(num_chunks, num_chunks, "compute", costs.reason, costs)
    computed, streamed = _by_split(costs)
    seconds = np.maximum(computed, streamed)
    best, total = int(np.argmin(seconds)), len(computed) - 1
    single = 0 if streamed[0] < computed[total] else total
    reason: PlanReason = "nothing_to_stream" if total == 0 else "gain_too_small"
    chosen, gain = single, seconds[single] - seconds[best]
    if 0 < best < total and gain >= _least_gain(costs, best, float(seconds[single]), single == total, options):
        chosen, reason = best, "hybrid_gains"
    prediction = Prediction(
        seconds=float(seconds[chosen]),
        compute_seconds=float(computed[chosen]),
        stream_seconds=float(streamed[chosen]),
        compute_only_seconds=float(computed[total]),
        stream_only_seconds=float(streamed[0]),
        hybrid_seconds=float(seconds[best]),
        hybrid_split=best,
        bound_seconds=lower_bound_s(costs),
    )
    route: Literal["compute", "stream"] = "compute" if chosen == total else "stream"
    return Plan(chosen, total, "hybrid" if reason == "hybrid_gains" else route, reason, prediction)


def _by_split(costs: RouteCosts) -> tuple[FloatArray, FloatArray]:
    """Seconds of the compute and of the stream route for every split, [N + 1] each."""
    computed = np.zeros(len(costs.compute_s) + 1)
    streamed = np.zeros_like(computed)
    np.cumsum(costs.compute_s, out=computed[1:])
    np.cumsum(costs.stream_s[::-1], out=streamed[-2::-1])
    streamed[:-1] += costs.round_trip_s
    return computed, streamed


def _least_gain(
    costs: RouteCosts, split: int, single_seconds: float, over_compute: bool, options: PlannerOptions
) -> float:
    """Seconds that a mixed plan must save; a chunk counts as the slower of its routes on either side of the split."""
    if over_compute and options.min_gain_over_compute is not None:
        return options.min_gain_over_compute * single_seconds
    chunk = max(float(costs.compute_s[split - 1]), float(costs.stream_s[split]))
    return max(options.min_gain_ratio * single_seconds, options.min_gain_chunks * chunk)
