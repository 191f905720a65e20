"""verl's keyword arguments -> core types, one call of the core, and back."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gainful.catalog import EstimatorSpec
from gainful.errors import MissingInputError, ShapeError
from gainful_verl import stats
from gainful_verl.options import read
from gainful_verl.preflight import check

__all__ = ["as_verl", "group_ids"]


@cache
def as_verl(spec: EstimatorSpec) -> Callable[..., tuple[Tensor, Tensor]]:
    """The function that verl calls once per update, in the process that computes advantages."""

    def estimate(
        token_level_rewards: Tensor,
        response_mask: Tensor,
        config: Any = None,
        index: Any = None,
        **_unused: Any,
    ) -> tuple[Tensor, Tensor]:
        check(config, spec)
        adapter, options = read(config, spec)
        ids = group_ids(index, token_level_rewards)
        result = spec.fn(token_level_rewards, response_mask, ids, config=options)
        if adapter.log_stats:
            stats.report(spec, result[0], token_level_rewards, response_mask, ids, index, options)
        return result

    estimate.__name__ = estimate.__qualname__ = f"gainful_{spec.name}"
    estimate.__doc__ = spec.fn.__doc__
    return estimate


def group_ids(index: Any, rewards: Tensor) -> Tensor:
    """verl's uids, one string a row -> int64 [B] on the device of `rewards`.

    Equal uids are found by comparing them, so two prompts never share a group by accident. pandas, which verl brings
    along, does it faster than a sort.
    """
    if index is None:
        raise MissingInputError(
            "gainful: verl passed no 'uid', so rows cannot be grouped; set a uid per prompt in the batch's "
            "non-tensor fields"
        )
    uids = np.asarray(index)
    if uids.shape != (rewards.shape[0],):
        raise ShapeError(
            f"gainful: uid must be [{rewards.shape[0]}] to match token_level_rewards {list(rewards.shape)}, "
            f"got {list(uids.shape)}"
        )
    ids, _ = pd.factorize(uids)
    if (ids < 0).any():
        raise MissingInputError(
            f"gainful: row {int((ids < 0).argmax())} of {len(ids)} has no uid, got {uids[ids < 0][0]!r}"
        )
    return torch.from_numpy(ids.astype(np.int64, copy=False)).to(rewards.device)
