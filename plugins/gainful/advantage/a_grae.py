"""A-GRAE: early in training hard groups count more and rewards less, later the other way round."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import EPSILON, group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, check_success, outcome_scores
from gainful.advantage.types import Advantages, OutcomeOptions, Registration
from gainful.errors import InputError

__all__ = ["AGraeConfig", "a_grae"]

_RANGE_TOLERANCE = 1e-6


class AGraeConfig(OutcomeOptions):
    """Constants of `a_grae`."""

    alpha: float = Field(default=1.0, gt=0)
    """Mean outcome from which positive advantages count in full; above 0; the authors' code takes 1 for maths."""


@torch.no_grad()
def a_grae(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: AGraeConfig = AGraeConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Asymmetric group-relative advantage: the batch's mean outcome M moves weight from hard to easy groups.

    With A the group-relative advantage, p the group's success rate, M the mean over groups of their mean outcome:

        hard = A / (2 (sqrt(p) + 1e-6))        easy = A / (2 (1 - sqrt(p) + 1e-6))
        A' = (1 - M) easy + M hard             and A' > 0 is multiplied by min(1, M / alpha)

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes; row sums in [0, 1].
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and alpha.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite or outside [0, 1].
        ConfigError: `config` belongs to another method.

    Edge cases: groups of equal outcomes and groups of one get zero; every row depends on the whole batch through M.

    Source: arXiv 2602.05548, Yu7-code/A-GRAE [AC].
    Differs from it: this is the intended formula. In the released code the branch that holds it is never taken.
    """
    check_config("a_grae", config, AGraeConfig)
    scores = outcome_scores("a_grae", rewards, response_mask, group_ids)
    check_success("a_grae", success, len(scores))
    outside = (scores < -_RANGE_TOLERANCE) | (scores > 1 + _RANGE_TOLERANCE)
    if outside.any():
        raise InputError(f"a_grae: row sums must be in [0, 1], got {scores[outside][0]:g}; map the reward to [0, 1]")
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    half = group_relative(scores, groups) / 2
    root = groups.mean(right).sqrt()[groups.index]
    progress = groups.mean(scores).mean()
    values = (1 - progress) * half / (1 - root + EPSILON) + progress * half / (root + EPSILON)
    damping = (progress / config.alpha).clamp(max=1)
    return broadcast(torch.where(values > 0, values * damping, values), response_mask, rewards)


REGISTRATION: Registration = {
    "config": AGraeConfig,
    "source": "arXiv 2602.05548, Yu7-code/A-GRAE",
    "evidence": "[AC] intended formula",
    "difference": "the formula that the released code never reaches",
    "optional": ("success",),
    "tier": 2,
    "scope": "batch",
    "maps_reward": True,
    "reward_range": (0.0, 1.0),
}
