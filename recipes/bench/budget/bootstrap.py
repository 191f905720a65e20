"""Paired bootstrap over questions, stratified by set; seeds and budgets are averaged within a question before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_SEED = 0
_BATCH = 1_000
_Z = 1.96

Scores = Mapping[str, np.ndarray]
"""Per set: [questions]."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def estimate(scores: Scores) -> Estimate:
    """Unweighted mean over sets of the mean over questions."""
    return _with_interval(headline(scores), sum(_resampled(scores)) / len(scores))


def difference(scores: Scores, other: Scores) -> Estimate:
    """Of two methods on the same questions."""
    return estimate({name: scores[name] - other[name] for name in scores})


def difference_to_best(scores: Scores, others: Mapping[str, Scores]) -> Estimate:
    """To the best of several, which is chosen again in each resample."""
    best = max(headline(other) for other in others.values())
    own = sum(_resampled(scores)) / len(scores)
    rivals = np.max([sum(_resampled(other)) / len(other) for other in others.values()], axis=0)
    return _with_interval(headline(scores) - best, own - rivals)


def expected_half_width(gaps: Scores, sizes: Mapping[str, int]) -> float:
    """Of a difference on as many questions per set, if questions spread as they do here.

    A set that was not seen is taken to spread as the widest one that was.
    """
    spread = {name: float(values.std(ddof=1)) for name, values in gaps.items()}
    variances = [spread.get(name, max(spread.values())) ** 2 / size for name, size in sizes.items()]
    return _Z * float(np.sqrt(sum(variances))) / len(sizes)


def headline(scores: Scores) -> float:
    return float(np.mean([values.mean() for values in scores.values()]))


def _resampled(scores: Scores) -> list[np.ndarray]:
    """Means of each set over the same resamples for every method: the draws depend on the sizes alone."""
    draw = np.random.default_rng(_SEED)
    means = []
    for values in scores.values():
        parts = []
        for _ in range(RESAMPLES // _BATCH):
            parts.append(values[draw.integers(len(values), size=(_BATCH, len(values)))].mean(axis=1))
        means.append(np.concatenate(parts))
    return means


def _with_interval(mean: float, resampled: np.ndarray) -> Estimate:
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Estimate(float(mean), float(low), float(high))
