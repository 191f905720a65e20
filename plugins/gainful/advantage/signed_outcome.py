"""The kernel that psr, nsr and w_reinforce share: one value for right rows, one for wrong rows."""

import torch
from torch import Tensor

from gainful.advantage.rows import broadcast, check_success, outcome_scores, row_lengths
from gainful.advantage.types import Advantages, OutcomeOptions

__all__ = ["signed_outcome"]


def signed_outcome(
    where: str,
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: OutcomeOptions,
    success: Tensor | None,
    right_value: float,
    wrong_value: float,
    only_kept_tokens: bool = False,
) -> Advantages:
    """Broadcast `right_value` or `wrong_value` over each row.

    With `only_kept_tokens` values are multiplied by (tokens of all rows) / (tokens of rows whose value is not 0), so
    that a token-mean loss comes out as if the other rows were not in the batch.
    """
    scores = outcome_scores(where, rewards, response_mask, group_ids)
    check_success(where, success, len(scores))
    right = config.is_right(scores) if success is None else success
    values = torch.full_like(scores, wrong_value).masked_fill_(right, right_value)
    if only_kept_tokens:
        lengths = row_lengths(response_mask)
        kept = lengths[values != 0].sum()
        values = values * (lengths.sum() / kept.clamp(min=1))
    return broadcast(values, response_mask, rewards)
