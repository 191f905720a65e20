"""verl's keyword arguments -> core types, one call of the core, and back."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gainful.catalog import EstimatorSpec
from gainful.config import Options
from gainful.errors import MissingInputError, ShapeError
from gainful_verl import stats
from gainful_verl.options import read
from gainful_verl.preflight import check
from gainful_verl.signals import current

__all__ = ["HOST_FUNCTIONS", "PADDING_UID", "as_verl", "group_ids"]

HOST_FUNCTIONS = ("base",)
"""Optional inputs that are functions of verl's own, and no signals."""

PADDING_UID = "pad"
"""How the uids of verl's padding rows begin (`verl.trainer.ppo.padding_utils`)."""


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
        carried = current()
        signals = carried.rows_of(index) if carried is not None else {}
        check(config, spec, signals)
        adapter, options = read(config, spec)
        rows = token_level_rewards, response_mask, group_ids(index, token_level_rewards)
        uids = np.asarray(index)
        if spec.scope != "batch" and not adapter.reports:  # padding is a group of its own: harmless here
            return spec.fn(*rows, config=options, **signals, **_host_functions(spec, options, config, uids))
        keep = _is_response(uids, response_mask)
        if not keep.all():
            chosen = torch.from_numpy(keep).to(response_mask.device)
            signals = {name: signal[chosen] for name, signal in signals.items()}
        kept = rows if keep.all() else tuple(part[chosen] for part in rows)
        result = spec.fn(*kept, config=options, **signals, **_host_functions(spec, options, config, uids[keep]))
        if adapter.reports:
            stats.report(spec, result[0], *kept, options, adapter)
        return result if keep.all() else _with_padding(result[0], keep, response_mask)

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
        row = int((ids < 0).argmax())
        raise MissingInputError(f"gainful: row {row} of {len(ids)} has no uid, got {uids[row]!r}")
    return torch.from_numpy(ids.astype(np.int64, copy=False)).to(rewards.device)


def _is_response(uids: np.ndarray, response_mask: Tensor) -> np.ndarray:
    """[B] bool: rows that are responses; verl fills batches up with padding rows, which are nobody's.

    A uid that only looks like padding, on a row with policy tokens, is a response.
    """
    keep = ~np.char.startswith(uids.astype(str), PADDING_UID)
    suspects = np.flatnonzero(~keep)
    keep[suspects] = (response_mask[torch.from_numpy(suspects)] != 0).any(dim=1).cpu().numpy()
    return keep


def _with_padding(advantages: Tensor, keep: np.ndarray, response_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Put rows back to where they were, and zeros where padding was."""
    out = advantages.new_zeros(response_mask.shape)
    out[torch.from_numpy(keep).to(out.device)] = advantages
    return out, out


def _host_functions(spec: EstimatorSpec, options: Options, algorithm: Any, uids: np.ndarray) -> dict[str, Any]:
    """verl's own GRPO, for a method that builds on it: its results stay those of stock verl bit for bit."""
    if "base" not in spec.optional or getattr(options, "base", "grpo") != "grpo":
        return {}
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

    by_std = algorithm is None or algorithm.get("norm_adv_by_std_in_grpo", True)

    def base(outcome: Tensor, _group_ids: Tensor) -> Tensor:
        one_token = torch.ones_like(outcome, dtype=torch.int64)[:, None]  # with all, verl makes two tensors of [B, T]
        return compute_grpo_outcome_advantage(
            token_level_rewards=outcome[:, None],
            response_mask=one_token,
            index=uids,
            norm_adv_by_std_in_grpo=by_std,
        )[0][:, 0]

    return {"base": base}
