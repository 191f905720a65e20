"""Precision and recall: curves, the operating point, and intervals by bootstrap over queries and seeds.

A pair is shown if its score is at or above a threshold. Pairs of equal score are shown together or not at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import plan

FIGURES = ("precision", "recall", "average precision")
_INTERVAL = (2.5, 97.5)
_SEEDS_SEED, _QUERIES_SEED = 0, 1
_BLOCK_ELEMENTS = 2**20
"""Ours; bounds the memory of the bootstrap whatever the size of a user's file."""


class Curve(NamedTuple):
    """Precision and recall by falling threshold, one entry for each distinct score."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


class OperatingPoint(NamedTuple):
    """The threshold to use, and whether it reaches the target where it was chosen."""

    threshold: float
    reached: bool


@dataclass(frozen=True)
class Scored:
    """One model over all seeds, on one part of the data."""

    scores: np.ndarray
    """[S, N] float64."""
    thresholds: np.ndarray
    """[S] float64: each seed's operating point."""


def curve(relevant: np.ndarray, scores: np.ndarray) -> Curve:
    """The curve of scores [N] for labels [N] bool, at least one of them true."""
    order = np.argsort(-scores, kind="stable")
    ends = _ends_of_ties(scores[order])
    found = relevant[order].cumsum()[ends]
    return Curve(scores[order][ends], found / (ends + 1), found / relevant.sum())


def operating_point(relevant: np.ndarray, scores: np.ndarray, measure: plan.Measure) -> OperatingPoint:
    """The threshold that reaches the target on one figure and is best on the other.

    A target recall is always reached: the highest threshold that does is taken. A target precision may be out of reach:
    then the most precise threshold is taken, and `reached` is false.
    """
    points = curve(relevant, scores)
    if measure.target == "recall":
        first = int(np.argmax(points.recall >= measure.level))
        return OperatingPoint(float(points.threshold[first]), True)
    reaching = np.flatnonzero(points.precision >= measure.level)
    if len(reaching):
        return OperatingPoint(float(points.threshold[reaching[-1]]), True)
    return OperatingPoint(float(points.threshold[int(np.argmax(points.precision))]), False)


def figures(relevant: np.ndarray, model: Scored) -> dict[str, float]:
    """Each of `FIGURES`, the mean over seeds; nan if it is for one."""
    table = _tables(relevant, model, np.ones((1, len(relevant))))
    return {name: float(values.mean()) for name, values in table.items()}


class Bootstrap:
    """Redraws seeds, and queries with all their pairs; every model is measured on the same draws, so it is paired."""

    def __init__(self, queries: np.ndarray, num_seeds: int, num_resamples: int):
        """`queries` [N]: the query of each pair."""
        _, self._query = np.unique(queries, return_inverse=True)
        self._num_resamples = num_resamples
        self._seeds = np.random.default_rng(_SEEDS_SEED).integers(num_seeds, size=(num_resamples, num_seeds))

    def draws(self, relevant: np.ndarray, model: Scored) -> dict[str, np.ndarray]:
        """Each of `FIGURES` in every resample, [R]."""
        blocks = [_tables(relevant, model, weights) for weights in self._weights()]
        tables = {name: np.concatenate([block[name] for block in blocks]) for name in FIGURES}
        return {name: np.take_along_axis(table, self._seeds, axis=1).mean(axis=1) for name, table in tables.items()}

    def _weights(self) -> Iterator[np.ndarray]:
        """How often each pair is drawn, [rows, N] for some resamples at a time; the same at every call."""
        rng, num_queries = np.random.default_rng(_QUERIES_SEED), self._query.max() + 1
        rows = max(1, _BLOCK_ELEMENTS // len(self._query))
        for start in range(0, self._num_resamples, rows):
            size = min(rows, self._num_resamples - start)
            times = rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), size=size)
            yield times[:, self._query].astype(float)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Bounds of the central 95 % of the draws that are defined; nan if none is."""
    low, high = np.nanpercentile(draws, _INTERVAL) if np.isfinite(draws).any() else (np.nan, np.nan)
    return float(low), float(high)


def mean_curve(relevant: np.ndarray, model: Scored, recalls: np.ndarray) -> np.ndarray:
    """Precision at each of `recalls`, mean over seeds: at a recall, that of the first threshold to reach it."""
    curves = [curve(relevant, scores) for scores in model.scores]
    return np.mean([points.precision[np.searchsorted(points.recall, recalls)] for points in curves], axis=0)


def _tables(relevant: np.ndarray, model: Scored, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each of `FIGURES` by weighting of pairs [R, N] and seed: [R, S]. Precision is nan where nothing is shown."""
    shown = (model.scores >= model.thresholds[:, None]).T.astype(float)
    found = weights @ (shown * relevant[:, None])
    with np.errstate(invalid="ignore"):
        precision = found / (weights @ shown)
    average = np.stack([_average_precision(relevant, scores, weights) for scores in model.scores], axis=1)
    return dict(zip(FIGURES, (precision, found / (weights @ relevant)[:, None], average), strict=True))


def _average_precision(relevant: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[R]: precision at each threshold, weighed by the recall that the threshold adds."""
    order = np.argsort(-scores, kind="stable")
    ends = _ends_of_ties(scores[order])
    found = (weights * relevant)[:, order].cumsum(axis=1)[:, ends]
    shown = weights[:, order].cumsum(axis=1)[:, ends]
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    return (np.diff(found, prepend=0.0, axis=1) * precision).sum(axis=1) / found[:, -1]


def _ends_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Index of the last of each run of equal values."""
    return np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
