"""CANON by length: long answers are measured against short ones of the same prompt, and the other way round."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.rows import broadcast, check_config, outcome_scores, row_lengths
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options

__all__ = ["CanonLengthConfig", "canon_length", "conditional_advantage"]


class CanonLengthConfig(Options):
    """Constants of `canon_length`."""

    inter_weight: float = Field(default=1.0, ge=0, le=1)
    """w, weight of the comparison with the other half; in [0, 1]; default of the authors' code."""
    length_bias: float = Field(default=1.0, gt=0)
    """a, factor on rewards of the long half in comparisons between halves; above 0; default of the authors' code."""
    divide_by: float = Field(default=1.0, gt=0)
    """Divisor of the result; above 0; the default is ours, the authors' code divides by 8192."""


@torch.no_grad()
def canon_length(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: CanonLengthConfig = CanonLengthConfig(),
) -> Advantages:
    """Conditional advantage: each group is cut in two by length, and each row compared with both halves.

    With the floor(n/2) shortest rows of a group as its short half (row order breaks ties), m_short and m_long the mean
    outcomes of the halves, w = inter_weight and a = length_bias:

        long row:  w (a r_i - m_short) + (1 - w) (r_i - m_long)
        short row: w (r_i - a m_long) + (1 - w) (r_i - m_short)         both divided by divide_by

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token; its row sums are the lengths.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Weights of the comparisons.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: a group of one has no other half and gets zero [OD]; for even n, w = 0.5 and a = 1 this is Dr.GRPO.

    Source: arXiv 2509.23962, biuboomc/CANON [AC].
    Differs from it: divide_by, and the group of one [OD].
    """
    check_config("canon_length", config, CanonLengthConfig)
    scores = outcome_scores("canon_length", rewards, response_mask, group_ids)
    values = conditional_advantage(
        scores,
        row_lengths(response_mask),
        group_rows(group_ids),
        inter_weight=config.inter_weight,
        high_factor=config.length_bias,
    )
    return broadcast(values / config.divide_by, response_mask, rewards)


def conditional_advantage(
    scores: Tensor,
    metric: Tensor,
    groups: Groups,
    *,
    inter_weight: float,
    low_factor: float = 1.0,
    high_factor: float = 1.0,
) -> Tensor:
    """[B] float64: scores [B] compared between the halves of each group with low and with high metric [B].

    In comparisons between halves the scores of each half count by its factor.
    """
    num_low = groups.size // 2
    high = groups.rank(metric) >= num_low[groups.index]
    mean_low = (groups.total(scores.masked_fill(high, 0.0)) / num_low.clamp(min=1))[groups.index]
    mean_high = (groups.total(scores.masked_fill(~high, 0.0)) / (groups.size - num_low))[groups.index]
    between = torch.where(
        high, high_factor * scores - low_factor * mean_low, low_factor * scores - high_factor * mean_high
    )
    within = scores - torch.where(high, mean_high, mean_low)
    values = inter_weight * between + (1 - inter_weight) * within
    return values.masked_fill((groups.size == 1)[groups.index], 0.0)


REGISTRATION: Registration = {
    "config": CanonLengthConfig,
    "source": "arXiv 2509.23962, biuboomc/CANON",
    "evidence": "[AC] formula and weights, [OD] divide_by",
    "difference": "divide_by is 1; a group of one gets 0",
    "tier": 2,
    "ties_by_row_order": True,
}
