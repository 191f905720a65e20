"""HDPO: among right answers those with fewer tool calls are preferred, apart from whether they are right."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, check_success, outcome_scores
from gainful.advantage.types import Advantages, OutcomeOptions, Registration
from gainful.errors import InputError

__all__ = ["HdpoConfig", "hdpo"]


class HdpoConfig(OutcomeOptions):
    """Constants of `hdpo`; the weights are those of the authors' code."""

    accuracy_weight: float = Field(default=1.0, ge=0)
    """w_acc, weight of being right; at least 0."""
    tool_weight: float = Field(default=0.15, ge=0)
    """w_tool, weight of few tool calls; at least 0."""


@torch.no_grad()
def hdpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: HdpoConfig = HdpoConfig(),
    tool_calls: Tensor,
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage of the outcome, plus one of the economy of tool calls among the right rows.

        A_i = accuracy_weight A_acc_i + tool_weight A_tool_i

    A_tool is the group-relative advantage of 1 / (tool_calls + 1) over the right rows of a group, and 0 on wrong rows.

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and weights.
        tool_calls: [B] int64, at least 0; calls that the response made.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite, or a number of calls is negative.
        ConfigError: `config` belongs to another method.

    Edge cases: the only right row of a group, and right rows of equal numbers of calls, have no tool part.

    Source: Accio-Lab/Metis [AC].
    Differs from it: the authors add two clipped losses; one weighted advantage is the same without clipping [OD].
    """
    check_config("hdpo", config, HdpoConfig)
    scores = outcome_scores("hdpo", rewards, response_mask, group_ids)
    check_success("hdpo", success, len(scores))
    check_signal("hdpo", "tool_calls", tool_calls, torch.int64, scores.shape)
    if (tool_calls < 0).any():
        raise InputError(f"hdpo: tool_calls must be at least 0, got {int(tool_calls.min())}")
    right = config.is_right(scores) if success is None else success
    economy = 1.0 / (tool_calls[right].double() + 1.0)
    tool = torch.zeros_like(scores).masked_scatter_(right, group_relative(economy, group_rows(group_ids[right])))
    values = config.accuracy_weight * group_relative(scores, group_rows(group_ids)) + config.tool_weight * tool
    return broadcast(values, response_mask, rewards)


REGISTRATION: Registration = {
    "config": HdpoConfig,
    "source": "Accio-Lab/Metis",
    "evidence": "[AC] rewards and weights, [OD] one advantage",
    "difference": "one weighted advantage in place of two clipped losses",
    "needs": ("tool_calls",),
    "optional": ("success",),
    "tier": 3,
    "maps_reward": True,
}
