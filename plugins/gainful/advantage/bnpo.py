"""BNPO: centred rewards, weighted by how unusual the group's success rate is under a Beta fitted to the batch."""

import torch
from pydantic import Field, model_validator
from torch import Tensor

from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, outcome_scores
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options
from gainful.errors import InputError

__all__ = ["BnpoConfig", "bnpo"]

_LEAST_VARIANCE = 1e-6
_RANGE_TOLERANCE = 1e-6


class BnpoConfig(Options):
    """Constants of `bnpo`; defaults of the authors' code."""

    min_reward: float = 0.0
    """Least outcome; mapped to 0."""
    max_reward: float = 1.0
    """Greatest outcome; mapped to 1."""
    max_weight: float = Field(default=1e6, gt=0)
    """W, cap of a group's weight; above 0. We advise 10: a rare group can otherwise outweigh the batch."""

    @model_validator(mode="after")
    def _spans_a_range(self) -> "BnpoConfig":
        if self.min_reward >= self.max_reward:
            raise ValueError(f"min_reward must be below max_reward, got {self.min_reward} and {self.max_reward}")
        return self


@torch.no_grad()
def bnpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: BnpoConfig = BnpoConfig(),
) -> Advantages:
    """Beta-normalised advantage: the whole batch decides how much a group counts.

    With x_i the outcome mapped to [0, 1], p the mean of x over the group, m and v mean and sample variance of p over
    groups of two and more:

        k = m (1 - m) / v - 1        alpha = max(1, 1 + k m / 3)        beta = max(1, 1 + k (1 - m) / 3)
        A_i = (x_i - p) * min(max_weight, 1 / BetaPDF(p; alpha, beta))

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes; row sums in [min_reward, max_reward].
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Range of the reward and cap of the weight.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite or outside the range.
        ConfigError: `config` belongs to another method.

    Edge cases: fewer than two usable groups, or groups of equal success rate, give alpha = beta = 1; a group of one
    gets zero and is left out of m and v.

    Source: arXiv 2506.02864, changyi7231/BNPO [AC].
    Differs from it: groups of one (the code gives them p = 0 and the cap) and equal success rates (the code divides
    by zero) [OD].
    """
    check_config("bnpo", config, BnpoConfig)
    scores = outcome_scores("bnpo", rewards, response_mask, group_ids)
    unit = _unit_scale(scores, config)
    groups = group_rows(group_ids)
    rate, usable = groups.mean(unit), groups.size > 1
    weight = (-_log_density(rate, rate[usable])).exp().clamp(max=config.max_weight)
    weight = torch.where(usable, weight, 0.0)
    return broadcast((unit - rate[groups.index]) * weight[groups.index], response_mask, rewards)


def _unit_scale(scores: Tensor, config: BnpoConfig) -> Tensor:
    unit = (scores - config.min_reward) / (config.max_reward - config.min_reward)
    outside = (unit < -_RANGE_TOLERANCE) | (unit > 1 + _RANGE_TOLERANCE)
    if outside.any():
        raise InputError(
            f"bnpo: row sums must be in [{config.min_reward:g}, {config.max_reward:g}], got {scores[outside][0]:g}; "
            "set min_reward and max_reward to the range of the reward"
        )
    return unit.clamp(0.0, 1.0)


def _log_density(rate: Tensor, usable: Tensor) -> Tensor:
    """[G]: logarithm of the density of `rate` under the Beta fitted to the rates of usable groups."""
    alpha = beta = torch.ones((), dtype=rate.dtype, device=rate.device)
    if len(usable) > 1 and (variance := usable.var()) >= _LEAST_VARIANCE:
        mean = usable.mean()
        k = mean * (1 - mean) / variance - 1
        alpha = (1 + k * mean / 3).clamp(min=1)
        beta = (1 + k * (1 - mean) / 3).clamp(min=1)
    norm = alpha.lgamma() + beta.lgamma() - (alpha + beta).lgamma()
    return torch.xlogy(alpha - 1, rate) + torch.xlogy(beta - 1, 1 - rate) - norm


REGISTRATION: Registration = {
    "config": BnpoConfig,
    "source": "arXiv 2506.02864, changyi7231/BNPO",
    "evidence": "[AC] formula and constants, [OD] degenerate batches",
    "difference": "groups of one get 0 and leave the fit; equal success rates give weight 1",
    "tier": 2,
    "scope": "batch",
    "maps_reward": True,
    "reward_range": (0.0, 1.0),
}
