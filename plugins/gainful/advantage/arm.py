"""ProGRPO's confidence term: answers that the policy was less sure of than of the prompt gain."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import (
    broadcast,
    check_config,
    check_finite,
    check_signal,
    check_success,
    outcome_scores,
    row_blocks,
)
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["ArmConfig", "arm"]


class ArmConfig(OutcomeOptions):
    """Constants of `arm`."""

    alpha: float = Field(ge=0)
    """Weight of the confidence term; at least 0; no value is known to us, so it has no default."""
    lowest_share: float = Field(default=0.2, gt=0, le=1)
    """Share of a response's tokens, the least likely ones, that its confidence is taken from; in (0, 1]."""


@torch.no_grad()
def arm(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: ArmConfig,
    old_log_probs: Tensor,
    prompt_confidence: Tensor,
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage plus the confidence in the prompt less that in the response, in mixed groups.

        A_i = A_grpo_i + alpha (c(q) - c(o_i)),    c(o) = exp(mean log-probability of o's least likely tokens)

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and constants; `alpha` has to be given.
        old_log_probs: [B, T] float; of the sampled tokens under the policy that sampled them, in nats; not looked at
            where the mask is zero.
        prompt_confidence: [B] float; c(q).
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum, a confidence, or a log-probability that is looked at, is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: groups all right or all wrong, and groups of one, have no confidence term [OD: sources disagree]; at
    least one token is looked at.

    Source: ProGRPO, arXiv 2602.05281 [S2]. Differs from it: the gate, and the number of tokens is rounded up [OD].
    """
    check_config("arm", config, ArmConfig)
    scores = outcome_scores("arm", rewards, response_mask, group_ids)
    check_success("arm", success, len(scores))
    check_signal("arm", "prompt_confidence", prompt_confidence, torch.float32, scores.shape)
    check_signal("arm", "old_log_probs", old_log_probs, torch.float32, response_mask.shape)
    check_finite("arm", "prompt_confidence", prompt_confidence)
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    num_right = groups.total(right)
    mixed = ((num_right > 0) & (num_right < groups.size))[groups.index]
    gap = prompt_confidence.double() - _confidence(old_log_probs, response_mask, config.lowest_share)
    return broadcast(
        group_relative(scores, groups) + (config.alpha * gap).masked_fill(~mixed, 0.0), response_mask, rewards
    )


def _confidence(log_probs: Tensor, response_mask: Tensor, share: float) -> Tensor:
    """[B] float64: exp of the mean of the lowest log-probabilities [B, T] on each row's policy tokens."""
    means = log_probs.new_zeros(len(log_probs), dtype=torch.float64)
    for rows in row_blocks(log_probs):
        policy = response_mask[rows] != 0
        length = policy.sum(dim=1)
        num_counted = (length * share).ceil().long().clamp(min=1)
        most = int(num_counted.max()) if policy.shape[1] else 0
        lowest = torch.where(policy, log_probs[rows], torch.inf).topk(most, dim=1, largest=False).values
        counted = torch.arange(most, device=policy.device) < torch.minimum(num_counted, length)[:, None]
        means[rows] = torch.where(counted, lowest, 0.0).sum(dim=1, dtype=torch.float64) / num_counted
    check_finite("arm", "old_log_probs", means)
    return means.exp()


REGISTRATION: Registration = {
    "config": ArmConfig,
    "source": "ProGRPO, arXiv 2602.05281",
    "evidence": "[S2] formula, [OD] gate; alpha has to be given",
    "difference": "mixed groups only; the number of tokens is rounded up",
    "needs": ("old_log_probs", "prompt_confidence"),
    "optional": ("success",),
    "tier": 3,
    "maps_reward": True,
}
