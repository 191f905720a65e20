"""What a policy believes: a distribution over answer classes, estimated from its own samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, log

import numpy as np
from numpy.typing import ArrayLike

from gainful.errors import InputError, ShapeError
from gainful.infogain.types import FloatArray
from gainful.infogain.weights import is_uniform

__all__ = ["Belief", "belief", "exact_belief", "gini", "log_gold", "shannon"]

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """A distribution over K answer classes."""

    p: FloatArray
    """[K] float64; sums to one."""
    labels: tuple[int, ...]
    """[R] class of each sample; empty for a distribution that was not estimated."""
    n: int
    """Number of samples behind it; 0 for a distribution that was not estimated."""
    counts: tuple[int, ...] | None = None
    """[K] samples per class if all samples count alike, which is what the bias corrections need; else None."""


def belief(samples: Sequence[object], weights: FloatArray, clusters: Sequence[int]) -> Belief:
    """Belief from samples [R], their weights [R] and classes [R].

    Raises:
        ShapeError: The three differ in length, or there is no sample.
        InputError: Weights do not form a distribution, or classes are not numbered from 0 without a gap.
    """
    if not len(samples) == len(weights) == len(clusters) or not len(samples):
        raise ShapeError(
            "belief: samples, weights and clusters must have one length R >= 1, "
            f"got {len(samples)}, {len(weights)}, {len(clusters)}"
        )
    _check_distribution("weights", weights)
    labels = np.asarray(clusters, dtype=np.int64)
    counts = np.bincount(labels) if labels.min() >= 0 else np.zeros(1, dtype=np.int64)
    if not counts.all():
        raise InputError(f"belief: classes must be numbered from 0 without a gap, got {sorted(set(clusters))}")
    if is_uniform(weights):
        return Belief(counts / len(labels), tuple(labels.tolist()), len(labels), tuple(counts.tolist()))
    p = np.array([fsum(weights[labels == k]) for k in range(len(counts))])
    return Belief(p, tuple(labels.tolist()), len(labels))


def exact_belief(p: ArrayLike) -> Belief:
    """A known distribution [K]: no samples, so no correction for their number."""
    array = np.asarray(p, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ShapeError(f"exact_belief: p must be [K] with K >= 1, got {list(array.shape)}")
    _check_distribution("p", array)
    return Belief(array, (), 0)


def shannon(belief: Belief, *, miller_madow: bool = True) -> float:
    """Entropy in nats, - sum_c b(c) ln b(c), plus (K - 1) / (2 n) where samples count alike.

    Source: Miller (1955) for the correction; that it is the default is ours.
    """
    seen = belief.p[belief.p > 0]
    entropy = -fsum(seen * np.log(seen)) + 0.0  # no negative zero
    if miller_madow and belief.counts is not None:
        entropy += (len(seen) - 1) / (2 * belief.n)
    return entropy


def gini(belief: Belief) -> float:
    """Chance that two answers drawn from the belief disagree, in [0, 1].

    1 - sum_c n_c (n_c - 1) / (n (n - 1)), which has no bias, where samples count alike; else 1 - sum_c b(c)^2.

    Raises:
        InputError: A single sample, whose answer has none to disagree with.
    """
    if belief.counts is None:
        return 1.0 - fsum(belief.p**2)
    if belief.n < 2:
        raise InputError("gini: needs at least 2 samples that count alike, got 1")
    agreeing = sum(count * (count - 1) for count in belief.counts)
    return 1.0 - agreeing / (belief.n * (belief.n - 1))


def log_gold(mass: float, n: int) -> float:
    """- ln((n m + 0.5) / (n + 1)): finite at m = 0 too, so a gain lies within +-ln(2n + 1). The smoothing is ours."""
    if n < 1:
        raise InputError(f"log_gold: needs the number of samples, at least 1, got {n}")
    return -log((n * mass + 0.5) / (n + 1))


def _check_distribution(what: str, p: FloatArray) -> None:
    if not (np.isfinite(p).all() and (p >= 0).all() and abs(fsum(p) - 1) <= _TOLERANCE):
        raise InputError(f"belief: {what} must be at least 0 and sum to 1, got a sum of {fsum(p):g}")
