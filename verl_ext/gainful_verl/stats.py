"""verl gives an estimator no channel for metrics: its statistics become one log line per update."""

import logging
from collections import Counter
from functools import cache

from torch import Tensor

from gainful.advantage import diagnostics
from gainful.catalog import EstimatorSpec
from gainful.config import Options
from gainful.metrics_file import MetricsFile
from gainful_verl.options import AdapterOptions

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
    adapter: AdapterOptions,
) -> None:
    """Compute and keep the statistics of one update; log them and write them where the options say so."""
    values = diagnostics(advantages, rewards, response_mask, ids, config=options, metrics=spec.metrics)
    if spec.batch_metrics:
        values |= spec.batch_metrics(advantages, rewards, response_mask, ids, config=options)
    _updates[spec.name] += 1
    _last[spec.name] = values
    if adapter.metrics_path:
        line = {"update": _updates[spec.name], **values}
        _file(adapter.metrics_path).write({name: None if value != value else value for name, value in line.items()})
    if not adapter.log_stats:
        return
    if logger.level == logging.NOTSET:  # the user asked for these lines; verl's root logger would drop them
        logger.setLevel(logging.INFO)
    text = " ".join(f"{name}={value:.6g}" for name, value in values.items())
    logger.info("gainful.verl: %s update %d: %s", spec.name, _updates[spec.name], text)


@cache
def _file(folder: str) -> MetricsFile:
    return MetricsFile(folder, "estimator")
