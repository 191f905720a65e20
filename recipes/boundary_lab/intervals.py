"""Means with 95 % intervals: a bootstrap over seeds and, within each seed, over problems.

One set of resampled indices serves all methods, so a difference between two methods is paired: seed with seed, problem
with problem. A figure is an array [seeds, problems].
"""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Bootstrap:
    """Resampled (seed, problem) indices, drawn once."""

    def __init__(self, num_seeds: int, num_problems: int, *, num_resamples: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.seeds = random.integers(num_seeds, size=(num_resamples, num_seeds))
        self.problems = random.integers(num_problems, size=(num_resamples, num_seeds, num_problems))

    def interval(self, values: np.ndarray) -> Interval:
        """Of the mean of `values` [seeds, problems]; of a difference when given a difference."""
        means = np.array(
            [values[seeds[:, None], problems].mean() for seeds, problems in zip(self.seeds, self.problems, strict=True)]
        )
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(values.mean()), float(low), float(high))
