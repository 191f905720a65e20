"""What nobody could have beaten: both routes at their measured rates, split where it was best, known beforehand."""

from dataclasses import dataclass

import numpy as np

from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import ComputeModel, PrefillSample, RouteCosts, fit_compute
from gainful.sparkv.simulate import Situation, hindsight_s
from gainful.sparkv.traces import constant, step
from gainful.sparkv.unknown import Unknown

PIECE_TOKENS = 16
"""Finer than any chunk, so that the bound does not depend on chunks."""


class CalibrationError(RuntimeError):
    """The engine's prefill times say nothing."""


@dataclass(frozen=True)
class Measured:
    """Of one prompt under one condition."""

    tokens: int
    """Reusable ones: whole blocks."""
    stored_bytes: int
    """Their size on the wire."""
    prefill_s: float
    """Plain prefill, in steps or at once, whichever is faster."""
    floor_s: float
    """To the first token with all reusable tokens in the engine's own cache: no method can be faster."""
    mbit: float
    rtt_ms: float = 0.0
    factor: float = 1.0
    after_s: float = 0.0


def fit(seconds_by_tokens: list[tuple[int, float]]) -> ComputeModel:
    """Whole prefills of several lengths -> kappa, alpha, beta."""
    samples = [PrefillSample(num_tokens=tokens, position=0, seconds=seconds) for tokens, seconds in seconds_by_tokens]
    found = fit_compute(samples)
    if isinstance(found, Unknown):
        raise CalibrationError(f"the engine's prefill cannot be fitted: {found.detail}")
    return found


def bound_s(measured: Measured, model: ComputeModel) -> float:
    """Seconds to the first token of the best split in hindsight.

    The fit gives only how cost grows along the prompt; its sum is the measured one, less the floor.
    """
    layout = ChunkLayout(measured.tokens // PIECE_TOKENS, PIECE_TOKENS, _piece_bytes(measured))
    shape = model.token_seconds * PIECE_TOKENS + model.pair_seconds * PIECE_TOKENS * (layout.positions() + 8)
    compute = shape * max(0.0, measured.prefill_s - measured.floor_s) / max(float(shape.sum()), 1e-12)
    rate = measured.mbit * 1e6 / 8
    link = constant(rate) if measured.factor == 1.0 else step(rate, rate * measured.factor, max(measured.after_s, 1e-6))
    # of these costs only compute and round trip are used: the stream's come from the link
    costs = RouteCosts(compute, np.zeros_like(compute), measured.rtt_ms / 1000)
    return measured.floor_s + hindsight_s(Situation(layout, costs, link, constant(1.0)))


def _piece_bytes(measured: Measured) -> int:
    return max(1, round(measured.stored_bytes * PIECE_TOKENS / measured.tokens))


def break_even_mbit(stored_bytes: int, prefill_s: float) -> float:
    """Mbit/s at which streaming takes as long as computing."""
    return stored_bytes * 8 / 1e6 / prefill_s


def best_prefix(
    model: ComputeModel, layers: int, tokens: int, block_tokens: int, bytes_per_second: float, stored_bytes: int
) -> int:
    """Prefix to stream while the rest is computed in one step, layer by layer, in whole blocks.

    With transfer time s and compute time c of the rest, L layers overlap like a pipeline of two stages:
    max(s, c) + min(s, c) / L.
    """
    prefixes = np.arange(0, tokens + 1, block_tokens)
    stream = prefixes / tokens * stored_bytes / bytes_per_second
    compute = np.array(
        [model.seconds(tokens - int(prefix), int(prefix)) if prefix < tokens else 0 for prefix in prefixes]
    )
    seconds = np.maximum(stream, compute) + np.minimum(stream, compute) / layers
    return int(prefixes[np.argmin(seconds)])
