"""GiGPO: beside the episode, steps taken from one and the same state are compared with each other."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, outcome_scores
from gainful.advantage.turns import Turns, find_turns
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options
from gainful.errors import InputError

__all__ = ["GigpoConfig", "gigpo"]


class GigpoConfig(Options):
    """Constants of `gigpo`; the defaults are from copies of the authors' code."""

    step_weight: float = Field(default=1.0, ge=0)
    """w, weight of the step part; at least 0."""
    gamma: float = Field(default=0.95, ge=0, le=1)
    """Discount per turn; in [0, 1]."""
    mode: Literal["mean_norm", "mean_std_norm"] = "mean_norm"
    """Whether returns are centred only, or also divided by their sample standard deviation + 1e-6."""


@torch.no_grad()
def gigpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: GigpoConfig = GigpoConfig(),
    anchor_ids: Tensor,
    turn_rewards: Tensor,
) -> Advantages:
    """Advantage of the episode in its group, plus the advantage of each turn among the turns from the same state.

    With R_i the outcome of row i and G(i, j) the discounted sum of its turn rewards from turn j on:

        A(i, j) = norm(R_i over the group) + step_weight norm(G(i, j) over turns of the group with the same anchor)

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums: the return of the whole episode.
        response_mask: [B, T]; turns are its runs of nonzero entries.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Weight, discount and norm.
        anchor_ids: [B, T] int64; on the first token of each turn the id of the state before it, -1 for none. States
            of different groups are never compared, whatever their ids.
        turn_rewards: [B, T] float; what the environment gave, that of the end included; a reward on a token counts for
            the turn it is in or follows.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, constant over a turn, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: An outcome or a turn reward is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: a turn whose state nobody else of its group met, or without an anchor, has no step part; a group of one
    has no episode part.

    Source: arXiv 2505.10978, langfengQ/verl-agent [S2].
    Differs from it: the code averages episodes over rows that are steps, so long episodes weigh more; here each
    response counts once [OD].
    """
    check_config("gigpo", config, GigpoConfig)
    scores = outcome_scores("gigpo", rewards, response_mask, group_ids)
    check_signal("gigpo", "anchor_ids", anchor_ids, torch.int64, response_mask.shape)
    check_signal("gigpo", "turn_rewards", turn_rewards, torch.float32, response_mask.shape)
    turns = find_turns(response_mask)
    to_go = turns.to_go(turns.sums(turn_rewards), config.gamma)
    if not torch.isfinite(to_go).all():
        raise InputError("gigpo: turn_rewards must be finite, got nan or inf; look at what the agent loop hands over")
    result = broadcast(_norm(scores, group_rows(group_ids), config), response_mask, rewards)
    turns.add_to(result.advantages, config.step_weight * _step_part(to_go, turns, anchor_ids, group_ids, config))
    return result


def _norm(values: Tensor, groups: Groups, config: GigpoConfig) -> Tensor:
    """[N] float64: values [N] less the mean of their group, and divided by its spread if the mode says so."""
    if config.mode == "mean_std_norm":
        return group_relative(values, groups)
    return values - groups.mean(values)[groups.index]


def _step_part(to_go: Tensor, turns: Turns, anchor_ids: Tensor, group_ids: Tensor, config: GigpoConfig) -> Tensor:
    """[S] float64: to_go [S] against turns of the same group and anchor; zero without an anchor."""
    anchors = anchor_ids[turns.row, turns.start]
    anchored = anchors >= 0
    states = group_rows(anchors[anchored])
    keys = group_rows(group_ids).index[turns.row[anchored]] * len(states.size) + states.index
    return torch.zeros_like(to_go).masked_scatter_(anchored, _norm(to_go[anchored], group_rows(keys), config))


REGISTRATION: Registration = {
    "config": GigpoConfig,
    "source": "GiGPO, arXiv 2505.10978, langfengQ/verl-agent",
    "evidence": "[S2] formula and constants, [OD] mean over responses",
    "difference": "each response counts once in its group, however many turns it has",
    "needs": ("anchor_ids", "turn_rewards"),
    "tier": 3,
    "level": "turn",
}
