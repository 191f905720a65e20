"""How many chunks to stream from the front, where an engine takes nothing else and the split cannot be changed later.

    T(k) = R + max(S_k + C_k' / L, S_k / L + C_k')      S_k streams chunks [0, k), C_k' computes the others
    T(0) = C_0'

L is the number of stages in which both overlap: the layers of a forward that waits for each layer's blocks only when
it comes to them, or 1 for an engine that computes nothing of a request until its load is complete; then T is the sum.
The first stage of the one and the last of the other never overlap.
"""

from dataclasses import dataclass, replace

import numpy as np

from gainful.errors import InputError
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.unknown import Unknown

__all__ = ["PROBE_CHUNKS", "PrefixPlan", "plan_prefix", "probing"]

PROBE_CHUNKS = 2
"""Streamed to measure a link anew. Ours."""


@dataclass(frozen=True, slots=True)
class PrefixPlan:
    """Stream chunks [0, num_streamed), compute the rest."""

    num_streamed: int
    num_chunks: int
    seconds: float | None
    """Predicted; None where a model is unknown."""
    compute_only_seconds: float | None
    stream_only_seconds: float | None
    reason: str
    """`gains`, `gain_too_small`, or what is not known."""


def plan_prefix(
    costs: RouteCosts | Unknown,
    *,
    num_chunks: int,
    num_stages: int = 1,
    at_least: int = 0,
    min_gain_ratio: float = 0.1,
) -> PrefixPlan:
    """The best prefix to stream, exactly: all splits from `at_least` on are looked at.

    Args:
        costs: What the chunks cost, or what is not known; then everything is streamed, which is how a link gets its
            first samples.
        num_chunks: N.
        num_stages: L, at least 1.
        at_least: Chunks that have to be streamed for the rest to fit into one engine step; streaming none is always
            allowed.
        min_gain_ratio: Share of the plain prefill's seconds that streaming must save (ours).

    Raises:
        InputError: A count out of its range.
    """
    if num_chunks < 0 or num_stages < 1 or not 0 <= at_least <= num_chunks:
        raise InputError(
            f"plan_prefix: expected 0 <= at_least <= N and L >= 1, got {at_least}, {num_chunks}, {num_stages}"
        )
    if isinstance(costs, Unknown):
        return PrefixPlan(num_chunks, num_chunks, None, None, None, costs.reason)
    streamed = np.concatenate(([0.0], np.cumsum(costs.stream_s)))
    computed = float(costs.compute_s.sum()) - np.concatenate(([0.0], np.cumsum(costs.compute_s)))
    share = 1.0 / num_stages
    seconds = np.maximum(streamed + computed * share, streamed * share + computed) + costs.round_trip_s
    seconds[0] = computed[0]
    first = max(at_least, 1)
    best = first + int(np.argmin(seconds[first:])) if first <= num_chunks else 0
    gains = best > 0 and seconds[best] <= (1.0 - min_gain_ratio) * seconds[0]
    chosen = best if gains else 0
    return PrefixPlan(
        chosen,
        num_chunks,
        float(seconds[chosen]),
        float(computed[0]),
        float(streamed[-1] + costs.round_trip_s),
        "gains" if gains else "gain_too_small",
    )


def probing(plan: PrefixPlan) -> PrefixPlan:
    """A plan that streams nothing, changed to stream a little: a link that is not used is never found to be better."""
    if plan.num_streamed or not plan.num_chunks:
        return plan
    return replace(plan, num_streamed=min(PROBE_CHUNKS, plan.num_chunks), reason="probe")
