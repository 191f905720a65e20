"""How much each sample of a belief counts."""

from collections.abc import Sequence
from math import fsum
from typing import Literal

import numpy as np

from gainful.errors import ShapeError
from gainful.infogain.types import AnswerSample, FloatArray, Missing, check_choice, distinct

__all__ = ["Scheme", "is_uniform", "weighted_mean", "weights"]

Scheme = Literal["uniform", "mean_logprob", "unique_logprob"]


def weights(samples: Sequence[AnswerSample], scheme: Scheme = "uniform") -> FloatArray | Missing:
    """Weights [R] that sum to one.

    `uniform`: 1/R, right for samples that were drawn from the policy. `mean_logprob`: softmax of the mean ln p per
    token, as in the source; it counts likely answers twice, since they are drawn more often too. `unique_logprob`:
    softmax of ln p over distinct answers; samples of one answer share its weight.

    Returns:
        float64 [R]; `Missing` without samples, or if a scheme needs log-probabilities that a sample does not have.

    Source: dl-m9/InfoReasoner for `mean_logprob`. Differs from it: `uniform` is the default. Where samples of one
    answer disagree on ln p, which only tokenisation can cause, `unique_logprob` takes the largest (ours).
    """
    check_choice("weights", scheme, Scheme)
    if not samples:
        return Missing("probe_empty", "no samples")
    if scheme == "uniform":
        return np.full(len(samples), 1.0 / len(samples))
    if any(sample.logprob_sum is None or sample.n_tokens is None for sample in samples):
        return Missing("probe_failed", f"weights {scheme!r} need logprob_sum and n_tokens of every sample")
    sums = np.array([sample.logprob_sum for sample in samples], dtype=np.float64)
    if scheme == "mean_logprob":
        return _softmax(sums / np.array([sample.n_tokens for sample in samples], dtype=np.float64))
    answers, index = distinct(samples)
    best = np.full(len(answers), -np.inf)
    np.maximum.at(best, index, sums)
    shared: FloatArray = (_softmax(best) / np.bincount(index))[index]
    return shared


def is_uniform(weights: FloatArray) -> bool:
    """True if all samples count alike."""
    return bool((weights == weights[0]).all())


def weighted_mean(values: FloatArray, weights: FloatArray) -> float:
    """Sum of values times weights, correctly rounded, so that neither order nor duplication of samples shows."""
    if values.shape != weights.shape:
        raise ShapeError(f"weighted_mean: values and weights must have one shape, got {values.shape}, {weights.shape}")
    if is_uniform(weights):
        return fsum(values) / len(values)
    return fsum(values * weights)


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max())
    normalised: FloatArray = powers / fsum(powers)
    return normalised
