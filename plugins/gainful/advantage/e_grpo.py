"""E-GRPO: a wrong answer that found some of the entities on the way is worth more than one that found none."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, check_success, outcome_scores
from gainful.advantage.types import Advantages, OutcomeOptions, Registration
from gainful.errors import InputError

__all__ = ["EGrpoConfig", "e_grpo"]


class EGrpoConfig(OutcomeOptions):
    """Constants of `e_grpo`."""

    match_weight: float = Field(default=0.3, ge=0)
    """a, reward of the best partial match in a group; at least 0; the value is unverified, take it as ours."""


@torch.no_grad()
def e_grpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: EGrpoConfig = EGrpoConfig(),
    entity_match: Tensor,
    format_ok: Tensor | None = None,
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage of a reward that gives wrong rows credit for the entities they matched.

    The reward of a row is 1 if it is right, else match_weight times its match over the greatest match in its group; 0
    for a row of bad format, right or wrong.

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums; say which rows are right.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and weight.
        entity_match: [B] float in [0, 1]; share of the entities of the gold answer's path that the row found.
        format_ok: [B] bool; rows of good format; all if not given.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite, or a match is outside [0, 1].
        ConfigError: `config` belongs to another method.

    Edge cases: a group in which nobody matched anything has rewards of 0 and 1 alone; a group of one gets zero.

    Source: arXiv 2510.24694, [PA] and [S2]. Differs from it: match_weight [OD].
    """
    check_config("e_grpo", config, EGrpoConfig)
    scores = outcome_scores("e_grpo", rewards, response_mask, group_ids)
    check_success("e_grpo", success, len(scores))
    check_signal("e_grpo", "entity_match", entity_match, torch.float32, scores.shape)
    if not ((entity_match >= 0) & (entity_match <= 1)).all():
        raise InputError(
            f"e_grpo: entity_match must be in [0, 1], got {entity_match.min():g} to {entity_match.max():g}"
        )
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    match = entity_match.double()
    best = groups.largest(match).clamp(min=torch.finfo(torch.float64).tiny)[groups.index]
    shaped = (config.match_weight * match / best).masked_fill(right, 1.0)
    if format_ok is not None:
        check_signal("e_grpo", "format_ok", format_ok, torch.bool, scores.shape)
        shaped = shaped.masked_fill(~format_ok, 0.0)
    return broadcast(group_relative(shaped, groups), response_mask, rewards)


REGISTRATION: Registration = {
    "config": EGrpoConfig,
    "source": "arXiv 2510.24694",
    "evidence": "[PA] and [S2] reward, [U] weight, taken as ours",
    "difference": "match_weight is ours",
    "needs": ("entity_match",),
    "optional": ("format_ok", "success"),
    "tier": 3,
    "maps_reward": True,
}
