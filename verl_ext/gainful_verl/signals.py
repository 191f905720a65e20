"""Hands signals from the trainer, which can fetch them, to the estimator, which verl calls without them.

Both run in one thread of one process: the trainer opens `carried` around verl's own step, and the estimator looks.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from gainful.errors import ShapeError

__all__ = ["Carried", "carried", "current"]


@dataclass(frozen=True, slots=True)
class Carried:
    """Signals of one batch, by name."""

    uids: np.ndarray
    """[B]: verl's uid of each row, by which the estimator knows that the rows are its own."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def rows_of(self, index: Any) -> Mapping[str, Tensor]:
        """The signals, if the estimator's rows are those they were fetched for.

        Raises:
            ShapeError: They are others, or in another order.
        """
        if not np.array_equal(self.uids, np.asarray(index)):
            raise ShapeError(
                "gainful: verl computes advantages for other rows than those whose signals were fetched; the trainer "
                "drops or reorders rows in between, which gainful_verl.trainer does not support"
            )
        return self.tensors


_current: ContextVar[Carried | None] = ContextVar("gainful_verl_signals", default=None)


def current() -> Carried | None:
    """What the trainer of this update carries; None under verl's own trainers."""
    return _current.get()


@contextmanager
def carried(signals: Carried) -> Iterator[None]:
    """Make `signals` visible to the estimator for the length of the block."""
    token = _current.set(signals)
    try:
        yield
    finally:
        _current.reset(token)
