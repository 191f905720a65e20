"""ASPO's advantage shaping: right answers that called a tool early gain, those that called it late lose."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, check_success, outcome_scores
from gainful.advantage.turns import find_turns
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["AspoShapeConfig", "aspo_shape"]


class AspoShapeConfig(OutcomeOptions):
    """Constants of `aspo_shape`."""

    d: float = Field(default=-2.0, lt=0)
    """Strength of the shaping; below 0; the default is from a secondary source."""
    k: float = Field(default=0.7, ge=0)
    """Greatest change as a share of the advantage; at least 0; the default is from a secondary source."""


@torch.no_grad()
def aspo_shape(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: AspoShapeConfig = AspoShapeConfig(),
    success: Tensor | None = None,
    tool_position: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage, shifted on right rows with a tool call by how early the first call came.

    With A the group-relative advantage, and means over the right rows with a tool call of each group, of pos, the
    position of the first call, and of L, the length:

        A_i + clip(d (pos_i - mean pos) / mean L, -k |A_i|, k |A_i|)        on those rows; A_i on all others

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token. A row with two runs called a tool; pos and L
            are the ends of its first and its last run, counted from the start of the first.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Threshold and constants.
        success: [B] bool; which rows are right, in place of the threshold.
        tool_position: [B] int64; pos in place of the end of the first run, negative for rows without a call.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: a group without a right row that called a tool is left as it is; a group of one gets zero.

    Source: arXiv 2508.19201 [P], constants [S2].
    Differs from it: pos and L are read off the mask unless `tool_position` is given [OD].
    """
    check_config("aspo_shape", config, AspoShapeConfig)
    scores = outcome_scores("aspo_shape", rewards, response_mask, group_ids)
    check_success("aspo_shape", success, len(scores))
    right = config.is_right(scores) if success is None else success
    groups = group_rows(group_ids)
    values = group_relative(scores, groups)
    position, length, called = _tool_use(response_mask, tool_position)
    shift = config.d * _earliness(position, length, right & called, groups)
    bound = config.k * values.abs()
    return broadcast(values + torch.where(right & called, shift.clamp(-bound, bound), 0.0), response_mask, rewards)


def _tool_use(response_mask: Tensor, tool_position: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Position of the first call [B] int64, length [B] int64, and whether there was a call [B] bool."""
    turns = find_turns(response_mask)
    num_rows = len(turns.count)
    begin, position, end = (turns.count.new_zeros(num_rows) for _ in range(3))
    is_first = turns.position == 0
    begin[turns.row[is_first]] = turns.start[is_first]
    position[turns.row[is_first]] = turns.end[is_first]
    end[turns.row[turns.is_last]] = turns.end[turns.is_last]
    if tool_position is None:
        return position - begin, end - begin, turns.count > 1
    check_signal("aspo_shape", "tool_position", tool_position, torch.int64, (num_rows,))
    return tool_position, end - begin, tool_position >= 0


def _earliness(position: Tensor, length: Tensor, counted: Tensor, groups: Groups) -> Tensor:
    """[B] float64: (pos - mean pos) / mean L, with means over the counted rows of each group."""
    size = groups.total(counted).clamp(min=1).double()
    mean_position = groups.total(position * counted) / size
    mean_length = (groups.total(length * counted) / size).clamp(min=1)
    return (position - mean_position[groups.index]) / mean_length[groups.index]


REGISTRATION: Registration = {
    "config": AspoShapeConfig,
    "source": "arXiv 2508.19201",
    "evidence": "[P] formula, [S2] constants, [OD] positions from the mask",
    "difference": "positions are read off the mask unless given",
    "optional": ("success", "tool_position"),
    "tier": 2,
    "maps_reward": True,
}
