"""Half the credit for the trajectory, half for what each turn brought, as in MatchTIR."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, outcome_scores
from gainful.advantage.turns import Turns, find_turns
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options
from gainful.errors import ShapeError

__all__ = ["TurnTrajConfig", "turn_traj"]


class TurnTrajConfig(Options):
    """Constants of `turn_traj`."""

    gamma: float = Field(default=0.9, ge=0, le=1)
    """Discount per turn; in [0, 1]; default of the authors' code."""


@torch.no_grad()
def turn_traj(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: TurnTrajConfig = TurnTrajConfig(),
) -> Advantages:
    """Mean of the group-relative advantage of the row and a z-score per turn index.

        A(i, j) = (A_traj_i + A_turn(i, j)) / 2

    A_turn is the discounted reward-to-go of turn j of row i, less the mean and divided by the sample standard deviation
    (+ 1e-6) over the rows of the group that reach turn j.

    Args:
        rewards: [B, T]; rewards of turns and the outcome, each on a token of its turn or of what follows it.
        response_mask: [B, T]; turns are its runs of nonzero entries.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: The discount.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, constant over a turn, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: where one row alone reaches a turn index, its A_turn is zero; a group of one gets zero.

    Source: arXiv 2601.10712, quchangle1/MatchTIR [AC].
    Differs from it: rewards on tokens of tools count for the turn before them, the code drops them; a row alone at its
    turn index gets zero, the code leaves it uncentred [OD].
    """
    check_config("turn_traj", config, TurnTrajConfig)
    scores = outcome_scores("turn_traj", rewards, response_mask, group_ids)
    if rewards.dim() != 2:
        raise ShapeError(f"turn_traj: rewards must be [B, T], with a reward per turn, got {list(rewards.shape)}")
    trajectory = group_relative(scores, group_rows(group_ids))
    result = broadcast(trajectory / 2, response_mask, rewards)
    turns = find_turns(response_mask)
    turns.add_to(result.advantages, _turn_scores(turns, rewards, group_ids, config.gamma) / 2)
    return result


def _turn_scores(turns: Turns, rewards: Tensor, group_ids: Tensor, gamma: float) -> Tensor:
    """[S] float64: z-score of each turn's reward-to-go among the turns of its group and index."""
    return group_relative(turns.to_go(turns.sums(rewards), gamma), group_rows(turns.peer_keys(group_ids)))


REGISTRATION: Registration = {
    "config": TurnTrajConfig,
    "source": "MatchTIR, arXiv 2601.10712, quchangle1/MatchTIR",
    "evidence": "[AC] formula and gamma, [OD] lone turns",
    "difference": "rewards on tool tokens count; a lone row at its turn index gets 0",
    "tier": 2,
    "level": "turn",
}
