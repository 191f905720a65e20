"""verl gives an estimator no channel for metrics: its statistics become one log line per update."""

import logging
from collections import Counter

from torch import Tensor

from gainful.advantage import diagnostics
from gainful.catalog import EstimatorSpec
from gainful.config import Options

__all__ = ["last_statistics", "report"]

logger = logging.getLogger("gainful.verl")

_updates: Counter[str] = Counter()
_last: dict[str, dict[str, float]] = {}


def last_statistics(name: str) -> dict[str, float]:
    """The statistics of the latest update by the estimator `name` in this process; empty before the first."""
    return dict(_last.get(name, {}))


def report(
    spec: EstimatorSpec,
    advantages: Tensor,
    rewards: Tensor,
    response_mask: Tensor,
    ids: Tensor,
    options: Options,
) -> None:
    """Compute, keep and log the statistics of one update."""
    values = diagnostics(advantages, rewards, response_mask, ids, config=options, metrics=spec.metrics)
    _updates[spec.name] += 1
    _last[spec.name] = values
    if logger.level == logging.NOTSET:  # the user asked for these lines; verl's root logger would drop them
        logger.setLevel(logging.INFO)
    line = " ".join(f"{name}={value:.6g}" for name, value in values.items())
    logger.info("gainful.verl: %s update %d: %s", spec.name, _updates[spec.name], line)
