"""CANON by length: long answers are measured against short ones of the same prompt, and the other way round."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.canon import CanonOptions, conditional_advantage
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, outcome_scores, row_lengths
from gainful.advantage.types import Advantages, Registration

__all__ = ["CanonLengthConfig", "canon_length"]


class CanonLengthConfig(CanonOptions):
    """Constants of `canon_length`."""

    length_bias: float = Field(default=1.0, gt=0)
    """a, factor on rewards of the long half in comparisons between halves; above 0; default of the authors' code."""


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


REGISTRATION: Registration = {
    "config": CanonLengthConfig,
    "source": "arXiv 2509.23962, biuboomc/CANON",
    "evidence": "[AC] formula and weights, [OD] divide_by",
    "difference": "divide_by is 1; a group of one gets 0",
    "tier": 2,
    "ties_by_row_order": True,
}
