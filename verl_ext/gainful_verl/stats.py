"""verl gives an estimator no channel for metrics: its statistics become one log line per update."""

import logging
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainful.advantage import diagnostics
from gainful.catalog import EstimatorSpec
from gainful.config import Options

__all__ = ["last_statistics", "report"]

logger = logging.getLogger("gainful.verl")

PADDING_UID = "pad"
"""How the uids of verl's padding rows begin (`verl.trainer.ppo.padding_utils`)."""

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
    index: Any,
    options: Options,
) -> None:
    """Compute, keep and log the statistics of one update; verl's padding rows are nobody's responses."""
    keep = _responses(index, advantages.device)
    rows = (
        (advantages, rewards, response_mask, ids)
        if keep.all()
        else (advantages[keep], rewards[keep], response_mask[keep], ids[keep])
    )
    values = diagnostics(*rows, config=options, metrics=spec.metrics)
    _updates[spec.name] += 1
    _last[spec.name] = values
    if logger.level == logging.NOTSET:  # the user asked for these lines; verl's root logger would drop them
        logger.setLevel(logging.INFO)
    line = " ".join(f"{name}={value:.6g}" for name, value in values.items())
    logger.info("gainful.verl: %s update %d: %s", spec.name, _updates[spec.name], line)


def _responses(index: Any, device: torch.device) -> Tensor:
    """[B] bool: rows that are responses, not padding."""
    uids = np.asarray(index).astype(str)
    return torch.from_numpy(~np.char.startswith(uids, PADDING_UID)).to(device)
