"""ADORA: groups whose right answers are no longer than their wrong ones count less."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.rows import broadcast, check_config, check_success, outcome_scores, row_lengths
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["AdoraConfig", "adora"]


class AdoraConfig(OutcomeOptions):
    """Constants of `adora`."""

    damp: float = Field(default=0.1, ge=0)
    """Factor of groups that count less; at least 0; default of the authors' code."""
    truncated_at: int | None = Field(default=None, gt=0)
    """Wrong rows of this many tokens and more were cut off and are ignored; the default, none, is ours."""
    no_right: Literal["damp", "keep"] = "damp"
    """What groups without a right row get; the authors' text version damps, their vision version keeps."""


@torch.no_grad()
def adora(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: AdoraConfig = AdoraConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage times a factor per group: 1 where longer thinking paid, else `damp`.

    The factor is 1 if the longest right row is longer than the mean of the wrong rows shorter than `truncated_at`, or
    if there are right rows and no such wrong row.

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token; its row sums are the lengths.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and factors.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: groups of equal outcomes and groups of one get zero; `no_right` matters for graded rewards only.

    Source: ShadeCloak/ADORA [AC]. Differs from it: no truncation length unless given [OD].
    """
    check_config("adora", config, AdoraConfig)
    scores = outcome_scores("adora", rewards, response_mask, group_ids)
    check_success("adora", success, len(scores))
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    factor = _factors(row_lengths(response_mask), right, groups, config)
    return broadcast(group_relative(scores, groups) * factor[groups.index], response_mask, rewards)


def _factors(lengths: Tensor, right: Tensor, groups: Groups, config: AdoraConfig) -> Tensor:
    """[G] float64."""
    counted = ~right if config.truncated_at is None else ~right & (lengths < config.truncated_at)
    num_counted = groups.total(counted)
    mean_wrong = groups.total(lengths * counted) / num_counted.clamp(min=1)
    longest_right = groups.largest(torch.where(right, lengths, -1))
    paid = (longest_right > mean_wrong) | (num_counted == 0)
    paid = torch.where(longest_right < 0, config.no_right == "keep", paid)
    return mean_wrong.new_full(paid.shape, config.damp, dtype=torch.float64).masked_fill_(paid, 1.0)


REGISTRATION: Registration = {
    "config": AdoraConfig,
    "source": "ShadeCloak/ADORA",
    "evidence": "[AC] formula and damp, [OD] truncated_at",
    "difference": "no truncation length unless given",
    "optional": ("success",),
    "tier": 2,
    "maps_reward": True,
}
