"""CANON by entropy: unsure answers are measured against sure ones of the same prompt, and the other way round."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.canon import CanonOptions, conditional_advantage
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, masked_means, outcome_scores
from gainful.advantage.types import Advantages, Registration

__all__ = ["CanonEntropyConfig", "canon_entropy"]


class CanonEntropyConfig(CanonOptions):
    """Constants of `canon_entropy`."""

    entropy_bias: float = Field(default=1.0, gt=0)
    """a, factor on rewards of the low half in comparisons between halves; above 0; default of the authors' code."""


@torch.no_grad()
def canon_entropy(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: CanonEntropyConfig = CanonEntropyConfig(),
    entropy: Tensor,
) -> Advantages:
    """Conditional advantage: each group is cut in two by mean entropy, and each row compared with both halves.

    With the floor(n/2) rows of lowest mean entropy of a group as its low half (row order breaks ties), m_low and m_high
    the mean outcomes of the halves, w = inter_weight and a = entropy_bias:

        high row: w (r_i - a m_low) + (1 - w) (r_i - m_high)
        low row:  w (a r_i - m_high) + (1 - w) (r_i - m_low)            both divided by divide_by

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Weights of the comparisons.
        entropy: [B, T] float, in nats; of the policy at each of its tokens, not looked at elsewhere.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum, or an entropy on a policy token, is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: a group of one has no other half and gets zero, a row without policy tokens has entropy 0 [OD].

    Source: arXiv 2509.23962, biuboomc/CANON [AC]. Differs from it: divide_by, and the edge cases [OD].
    """
    check_config("canon_entropy", config, CanonEntropyConfig)
    scores = outcome_scores("canon_entropy", rewards, response_mask, group_ids)
    values = conditional_advantage(
        scores,
        masked_means("canon_entropy", "entropy", entropy, response_mask),
        group_rows(group_ids),
        inter_weight=config.inter_weight,
        low_factor=config.entropy_bias,
    )
    return broadcast(values / config.divide_by, response_mask, rewards)


REGISTRATION: Registration = {
    "config": CanonEntropyConfig,
    "source": "arXiv 2509.23962, biuboomc/CANON",
    "evidence": "[AC] formula and weights, [OD] divide_by",
    "difference": "divide_by is 1; a group of one gets 0",
    "needs": ("entropy",),
    "tier": 3,
    "ties_by_row_order": True,
}
