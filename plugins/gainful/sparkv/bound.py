"""How fast any assignment of chunks to the two routes can be, and the split as a formula."""

import math

import numpy as np

from gainful.errors import InputError
from gainful.sparkv.chunks import FloatArray
from gainful.sparkv.costs import RouteCosts

__all__ = ["closed_form_split", "lower_bound_s"]


def lower_bound_s(costs: RouteCosts) -> float:
    """Seconds that no assignment beats, contiguous or not, if the routes run at these rates.

    Streaming pays where a second of link saves most seconds of compute. So compute the chunks with the smallest
    c_i / s_i until both routes take equally long, and split one chunk: the optimum of the relaxed problem, in which a
    chunk may be divided. Streaming nothing pays no round trip and stands beside it.
    """
    computed_all = float(costs.compute_s.sum())
    alive = np.isfinite(costs.stream_s)  # what can never arrive is computed for certain
    compute, stream = costs.compute_s[alive], costs.stream_s[alive]
    # c / s may be 0 / 0: such a chunk is free on both routes, and its place does not matter
    order = np.argsort(np.arctan2(compute, stream))
    computed = computed_all - float(compute.sum()) + _from_zero(compute[order])
    streamed = costs.round_trip_s + float(stream.sum()) - _from_zero(stream[order])
    place = int(np.argmax(computed >= streamed))
    if computed[place] < streamed[place]:  # the round trip alone takes longer than computing all
        return computed_all
    return min(computed_all, _meeting(computed, streamed, place))


def _from_zero(seconds: FloatArray) -> FloatArray:
    """Prefix sums, [N] -> [N + 1]."""
    sums = np.zeros(len(seconds) + 1)
    np.cumsum(seconds, out=sums[1:])
    return sums


def _meeting(rising: FloatArray, falling: FloatArray, place: int) -> float:
    """Height at which two piecewise straight lines meet; `place` is the first point at which they have crossed."""
    if place == 0:
        return float(rising[0])
    gap = falling[place - 1] - rising[place - 1]
    step = rising[place] - rising[place - 1]
    closing = step + falling[place - 1] - falling[place]
    return float(rising[place - 1] + step * gap / closing)


def closed_form_split(
    num_tokens: int, token_seconds: float, pair_seconds: float, stream_token_seconds: float, round_trip_s: float
) -> tuple[float, float]:
    """The split of N tokens with chunks of no size, no cost per step and none to decode: a check of the planner.

        beta/2 m^2 + (alpha + s) m - (R + N s) = 0,      T* = alpha m* + beta m*^2 / 2

    With beta = 0 and R = 0 this is T_comp T_stream / (T_comp + T_stream): at most twice as fast as the better route.

    Args:
        num_tokens: N.
        token_seconds: alpha.
        pair_seconds: beta.
        stream_token_seconds: s, bytes per token over bandwidth.
        round_trip_s: R.

    Returns:
        Tokens to compute, at most N, and seconds.

    Raises:
        InputError: Both routes are free.
    """
    linear = token_seconds + stream_token_seconds
    constant = round_trip_s + num_tokens * stream_token_seconds
    if linear <= 0.0:
        raise InputError(f"closed_form_split: expected alpha + s > 0, got {token_seconds} + {stream_token_seconds}")
    # the usual formula divides by beta; this one is its other form, exact for beta = 0 too
    tokens = 2.0 * constant / (linear + math.sqrt(linear * linear + 2.0 * pair_seconds * constant))
    tokens = min(tokens, float(num_tokens))
    return tokens, token_seconds * tokens + pair_seconds * tokens * tokens / 2.0
