"""Least squares with coefficients that are not negative, exact for a few of them."""

from functools import lru_cache
from itertools import combinations

import numpy as np

from gainful.errors import ShapeError
from gainful.sparkv.chunks import FloatArray

__all__ = ["MAX_COLUMNS", "nnls"]

MAX_COLUMNS = 4
"""2^4 subsets; the cost models have three."""


def nnls(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """The x >= 0 [K] with the least |matrix x - target|, by trying every set of coefficients that are not zero.

    The best x restricted to where it is positive is a plain least-squares solution there, and one with independent
    columns exists. So the best among all subsets whose plain solution is positive is the optimum, without iterating.
    Of equally good ones the one with fewest coefficients wins.

    Args:
        matrix: [R, K], K at most `MAX_COLUMNS`, finite.
        target: [R], finite.

    Raises:
        ShapeError: Sizes disagree, or there are too many columns.
    """
    num_columns = matrix.shape[1] if matrix.ndim == 2 else 0
    if not 1 <= num_columns <= MAX_COLUMNS or target.shape != matrix.shape[:1]:
        raise ShapeError(
            f"nnls: expected [R, K] with K <= {MAX_COLUMNS} and [R], got {list(matrix.shape)} and {list(target.shape)}"
        )
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0.0] = 1.0
    # K + 1 rows tell every residual, so the subsets do not look at the samples again
    small: FloatArray = np.linalg.qr(np.column_stack([matrix / scale, target])).R
    best: FloatArray = _best(small[:, :-1], small[:, -1]) / scale
    return best


def _best(columns: FloatArray, target: FloatArray) -> FloatArray:
    best = np.zeros(columns.shape[1])
    least = float(target @ target)
    rounding = 1e-20 * least
    for subset in _subsets(columns.shape[1]):
        chosen = columns[:, subset]
        solution, _, rank, _ = np.linalg.lstsq(chosen, target, rcond=1e-12)
        if rank < len(subset) or solution.min() < 0.0:
            continue
        rest = chosen @ solution - target
        error = float(rest @ rest)
        if error < least - rounding:
            least = error
            best = np.zeros(columns.shape[1])
            best[list(subset)] = solution
    return best


@lru_cache(maxsize=MAX_COLUMNS)
def _subsets(num_columns: int) -> tuple[tuple[int, ...], ...]:
    return tuple(s for size in range(1, num_columns + 1) for s in combinations(range(num_columns), size))
