"""COPO: where all answers to a prompt agree, prompts are compared with each other instead of answers."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, check_success, outcome_scores
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["CopoConfig", "copo"]


class CopoConfig(OutcomeOptions):
    """Constants of `copo`; the defaults are those of the authors' code."""

    steepness: float = Field(default=20.0, ge=0)
    """k, how sharply the weight moves from prompts to answers as the entropy of answers grows; per bit, at least 0."""
    midpoint: float = Field(default=0.5, ge=0)
    """b, entropy at which both count alike; in bits, at least 0."""


@torch.no_grad()
def copo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: CopoConfig = CopoConfig(),
    answer_ids: Tensor,
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage, mixed by the consistency of answers with an advantage of the group in its batch.

    With H the entropy in bits of the answers in the group of i, and p the success rate of each group:

        A_i = w A_local_i + (1 - w) (p - mean p) / (sample std p + 1e-6),    w = sigmoid(steepness (H - midpoint))

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and constants.
        answer_ids: [B] int64; equal for equal answers; any values, one of which may stand for "no answer".
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: one group alone has no other to be compared with, and only its local part.

    Source: arXiv 2508.04138, hijih/copo-code [AC].
    Differs from it: the authors blend two clipped losses; one blended advantage is the same without clipping [OD].
    """
    check_config("copo", config, CopoConfig)
    scores = outcome_scores("copo", rewards, response_mask, group_ids)
    check_success("copo", success, len(scores))
    check_signal("copo", "answer_ids", answer_ids, torch.int64, scores.shape)
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    weight = torch.sigmoid(config.steepness * (_answer_entropy(answer_ids, groups) - config.midpoint))[groups.index]
    between = _standardised(groups.mean(right))[groups.index]
    return broadcast(weight * group_relative(scores, groups) + (1 - weight) * between, response_mask, rewards)


def _answer_entropy(answer_ids: Tensor, groups: Groups) -> Tensor:
    """[G] float64: entropy in bits of the answers in each group."""
    answers = group_rows(answer_ids)
    pairs = group_rows(groups.index * len(answers.size) + answers.index)
    share = (pairs.size[pairs.index] / groups.size[groups.index]).double()
    return -groups.mean(share.log2())


def _standardised(rates: Tensor) -> Tensor:
    """[G] float64: rates [G] of groups as z-scores over the batch."""
    return group_relative(
        rates, Groups(torch.zeros_like(rates, dtype=torch.int64), rates.new_tensor([len(rates)]).long())
    )


REGISTRATION: Registration = {
    "config": CopoConfig,
    "source": "arXiv 2508.04138, hijih/copo-code",
    "evidence": "[AC] formula and constants, [OD] one advantage",
    "difference": "one blended advantage in place of two clipped losses",
    "needs": ("answer_ids",),
    "optional": ("success",),
    "tier": 3,
    "scope": "batch",
    "maps_reward": True,
}
