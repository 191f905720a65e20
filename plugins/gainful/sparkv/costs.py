"""What a chunk costs on either route: computed by the engine, or streamed from a store.

    c_i = kappa + alpha g + beta g (p_i + g / 2)         compute; p_i is the chunk's first position
    s_i = b_i / B + t_dec                                stream; R, the round trip, is paid once

In an engine that runs all layers and heads of a token block in one forward, position alone predicts the cost of a chunk
well: alpha is the work per token (projections and feed-forward), beta attention's work per pair of tokens, kappa what a
step costs whatever it holds. The paper predicts attention with a small network over (block, active sparse blocks,
utilisation) because its chunks are single layers and heads; ours are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from gainful.config import Options
from gainful.errors import InputError
from gainful.sparkv.chunks import ChunkLayout, FloatArray
from gainful.sparkv.link import LinkEstimate
from gainful.sparkv.nnls import nnls
from gainful.sparkv.unknown import Unknown

__all__ = ["MIN_SAMPLES", "Bandwidth", "ComputeModel", "PrefillSample", "RouteCosts", "fit_compute", "route_costs"]

Bandwidth = Literal["low", "expected", "high"]
Tokens = TypeVar("Tokens", float, FloatArray)

MIN_SAMPLES = 8
"""Fewer steps fit no model. Ours: three coefficients and some noise."""


class PrefillSample(Options):
    """One measured prefill step."""

    num_tokens: PositiveInt
    """Tokens that the step computed."""
    position: NonNegativeInt
    """Tokens of the prompt that were there before it."""
    seconds: PositiveFloat
    """Of the whole step."""


class ComputeModel(Options):
    """Coefficients of c_i, fitted from measured steps."""

    step_seconds: NonNegativeFloat
    """kappa, seconds that every step costs."""
    token_seconds: NonNegativeFloat
    """alpha, seconds per token."""
    pair_seconds: NonNegativeFloat
    """beta, seconds per pair of a token and one before it."""
    num_samples: PositiveInt
    """Steps that it was fitted from."""
    relative_error: NonNegativeFloat
    """Root mean square of (predicted - measured) / measured over them."""

    def seconds(self, num_tokens: Tokens, position: int) -> Tokens:
        """Of one step, or of steps of several lengths, [K]; tokens and position as in `PrefillSample`."""
        pairs = num_tokens * (position + num_tokens / 2)
        return self.step_seconds + self.token_seconds * num_tokens + self.pair_seconds * pairs

    def marginal_seconds(self, position: float) -> float:
        """alpha + beta p: what one more token at this position costs."""
        return self.token_seconds + self.pair_seconds * position

    def chunk_seconds(self, layout: ChunkLayout, step_tokens: int | None = None) -> FloatArray:
        """c_i, [N]. With steps longer than a chunk, `step_tokens`, each chunk bears its share of kappa (ours)."""
        tokens = layout.chunk_tokens
        share = min(1.0, tokens / step_tokens) if step_tokens else 1.0
        fixed = self.step_seconds * share + self.token_seconds * tokens
        return fixed + self.pair_seconds * tokens * (layout.positions() + tokens / 2)


def fit_compute(samples: Sequence[PrefillSample]) -> ComputeModel | Unknown:
    """Fit alpha, beta and kappa by non-negative least squares on relative errors.

    Relative, so that short steps count as much as long ones, and a step that took many times too long, such as one with
    a compilation in it, pulls by one at most (ours). Coefficients that the samples cannot tell apart, for instance
    kappa from alpha where all steps hold equally many tokens, are put into one of them.

    Returns:
        The model, or `Unknown` below `MIN_SAMPLES`.
    """
    if len(samples) < MIN_SAMPLES:
        return Unknown("no_compute_samples", f"{len(samples)} of {MIN_SAMPLES} measured prefill steps")
    tokens, positions, seconds = np.array([(s.num_tokens, s.position, s.seconds) for s in samples]).T
    columns = np.column_stack([np.ones_like(tokens), tokens, tokens * (positions + tokens / 2)]) / seconds[:, None]
    found = nnls(columns, np.ones_like(seconds))
    error = float(np.sqrt(np.mean((columns @ found - 1.0) ** 2)))
    kappa, alpha, beta = found.tolist()
    return ComputeModel(
        step_seconds=kappa, token_seconds=alpha, pair_seconds=beta, num_samples=len(samples), relative_error=error
    )


@dataclass(frozen=True, slots=True, eq=False)
class RouteCosts:
    """Seconds of every chunk on both routes.

    Raises:
        InputError: The two are not float64 [N], or hold a negative or undefined number.
    """

    compute_s: FloatArray
    """c_i, [N], >= 0."""
    stream_s: FloatArray
    """s_i, [N], >= 0; infinite where the link is dead."""
    round_trip_s: float
    """R, until the first byte."""

    def __post_init__(self) -> None:
        compute, stream = self.compute_s, self.stream_s
        if compute.ndim != 1 or compute.shape != stream.shape:
            raise InputError(f"RouteCosts: expected [N] and [N], got {list(compute.shape)} and {list(stream.shape)}")
        # nan is not >= 0 either; the sum is infinite or undefined where an element is
        if not (self.round_trip_s >= 0.0 and np.all(compute >= 0.0) and np.all(stream >= 0.0)):
            raise InputError("RouteCosts: seconds must be >= 0 and defined; look at the models they come from")
        if not np.isfinite(compute.sum()):
            raise InputError("RouteCosts: compute seconds must be finite; a link may be dead, an engine may not")


def route_costs(
    layout: ChunkLayout,
    compute: ComputeModel | Unknown,
    link: LinkEstimate | Unknown,
    *,
    decode_seconds: float | FloatArray = 0.0,
    step_tokens: int | None = None,
    bandwidth: Bandwidth = "expected",
) -> RouteCosts | Unknown:
    """Costs of all chunks, or the first thing that is not known.

    Args:
        layout: The chunks.
        compute: Fitted model of the engine.
        link: Estimate of the store's link.
        decode_seconds: t_dec of one chunk; one for all, or [N].
        step_tokens: Tokens of an engine step, if a step is longer than a chunk.
        bandwidth: Which of the link's estimates: `low` for plans that cannot be changed later, `high` to ask whether a
            link that was slow of late is worth another try.
    """
    if isinstance(compute, Unknown):
        return compute
    if isinstance(link, Unknown):
        return link
    rates = {"low": link.low_bytes_per_second, "expected": link.bytes_per_second, "high": link.high_bytes_per_second}
    rate = rates[bandwidth]
    per_byte = 1.0 / rate if rate > 0.0 else np.inf
    wire = np.multiply(layout.chunk_bytes, per_byte) if rate > 0.0 else np.full(layout.num_chunks, np.inf)
    stream = np.broadcast_to(wire + decode_seconds, layout.num_chunks)
    return RouteCosts(compute.chunk_seconds(layout, step_tokens), stream, link.round_trip_s)
