"""What an update did: who was pushed, who was pulled, and which groups carried signal."""

from collections.abc import Callable

import torch
from torch import Tensor

from gainful.advantage.groups import group_rows
from gainful.advantage.rows import outcome_scores, row_lengths, row_sums
from gainful.advantage.types import OutcomeOptions
from gainful.config import Options

__all__ = ["PREFIX", "diagnostics"]

PREFIX = "gainful/adv/"


@torch.no_grad()
def diagnostics(
    advantages: Tensor,
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: Options | None = None,
    success: Tensor | None = None,
    metrics: Callable[..., dict[str, float]] | None = None,
) -> dict[str, float]:
    """Statistics of one update, for a log line. A row's advantage is the mean over its policy tokens.

    Args:
        advantages: [B, T], as an estimator returned them.
        rewards: [B, T] or [B], as the estimator received them.
        response_mask: [B, T].
        group_ids: [B] int64.
        config: The estimator's options; `OutcomeOptions` say what counts as right, else row sums of 0.5 and more do.
        success: [B] bool; which rows are right, in place of that rule.
        metrics: The estimator's own statistics, as `EstimatorSpec.metrics`; their names get the same prefix.

    Returns:
        Names with the prefix `gainful/adv/`. Over rows with policy tokens: `net_seq` mean advantage, `neg_pos_ratio`
        sum of negative over sum of positive advantages, `zero_adv_share`. Over policy tokens: `net_token`. Over all
        rows: `success_rate`, and mean lengths in tokens `len_right`, `len_wrong`. Over groups: `all_wrong_share`,
        `all_right_share`, `singleton_share`, `group_size_min`, `group_size_max`. What has no value is nan, never 0.

    Raises:
        ShapeError, InputError: As the estimators do.
    """
    scores = outcome_scores("diagnostics", rewards, response_mask, group_ids)
    rule = config if isinstance(config, OutcomeOptions) else OutcomeOptions()
    right = rule.is_right(scores) if success is None else success
    lengths = row_lengths(response_mask)
    values: dict[str, Tensor | float] = {
        **_advantage_statistics(row_sums(advantages).double(), lengths),
        "success_rate": _mean(right),
        "len_right": _mean(lengths[right]),
        "len_wrong": _mean(lengths[~right]),
        **_group_statistics(right, group_ids),
        **(metrics(scores, group_ids, config=config) if metrics else {}),
    }
    return {PREFIX + name: float(value) for name, value in values.items()}


def _advantage_statistics(row_totals: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    written = lengths > 0
    rows = row_totals[written] / lengths[written]
    return {
        "net_seq": _mean(rows),
        "net_token": row_totals.sum() / lengths.sum(),
        "neg_pos_ratio": -rows.clamp(max=0).sum() / rows.clamp(min=0).sum(),
        "zero_adv_share": _mean(rows == 0),
    }


def _group_statistics(right: Tensor, group_ids: Tensor) -> dict[str, Tensor]:
    groups = group_rows(group_ids)
    num_right = groups.total(right)
    nothing = torch.tensor(torch.nan)
    return {
        "all_wrong_share": _mean(num_right == 0),
        "all_right_share": _mean(num_right == groups.size),
        "singleton_share": _mean(groups.size == 1),
        "group_size_min": groups.size.min() if len(groups.size) else nothing,
        "group_size_max": groups.size.max() if len(groups.size) else nothing,
    }


def _mean(values: Tensor) -> Tensor:
    """Mean as float64, nan for no values."""
    return values.double().mean()
