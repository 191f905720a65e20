"""W-REINFORCE: the full push of wrong responses and a small share of the pull of right ones."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.rows import check_config
from gainful.advantage.signed_outcome import signed_outcome
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["WReinforceConfig", "w_reinforce"]


class WReinforceConfig(OutcomeOptions):
    """Options of `w_reinforce`."""

    positive_weight: float = Field(default=0.1, ge=0)
    """lambda, the advantage of a right row; at least 0; the default is the paper's, 1 is plain REINFORCE."""


@torch.no_grad()
def w_reinforce(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: WReinforceConfig = WReinforceConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Weighted REINFORCE: A_i = positive_weight for a right row, -1 for a wrong one.

    Not zero-sum: with success rate p the mean is positive_weight * p - (1 - p), negative up to
    p = 1 / (1 + positive_weight).

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; checked, not used: there is no baseline.
        config: Threshold and weight.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: groups without a right row carry signal and must not be filtered out.

    Source: arXiv 2506.01347 [P], formula and weight. Differs from it: in nothing known to us.
    """
    check_config("w_reinforce", config, WReinforceConfig)
    return signed_outcome(
        "w_reinforce",
        rewards,
        response_mask,
        group_ids,
        config=config,
        success=success,
        right_value=config.positive_weight,
        wrong_value=-1.0,
    )


REGISTRATION: Registration = {
    "config": WReinforceConfig,
    "source": "arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
    "evidence": "[P] formula and weight",
    "difference": "none known",
    "optional": ("success",),
    "tier": 1,
    "scope": "row",
    "keeps_all_wrong": True,
    "maps_reward": True,
}
