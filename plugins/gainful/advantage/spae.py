"""SPAE: probes along a response say how near it is to a sure right answer, and each step gets what it brought."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, check_signal, outcome_scores, row_blocks
from gainful.advantage.turns import Turns, steps_between
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options
from gainful.errors import InputError

__all__ = ["SpaeConfig", "spae"]


class SpaeConfig(Options):
    """Constants of `spae`."""

    weight: float = Field(ge=0)
    """w, weight of the steps' part; at least 0; no value is known to us, so it has no default."""
    damping: float = Field(ge=0, le=1)
    """Factor on the outcome's part after saturation; in [0, 1]; no value is known to us, so it has no default."""
    saturation: float = 0.9
    """Potential from which on a response is settled; value of the authors' code."""


@torch.no_grad()
def spae(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: SpaeConfig,
    step_conf: Tensor,
    step_acc: Tensor,
) -> Advantages:
    """Group-relative advantage, plus per step the change of a potential of probed confidence and accuracy.

        Phi = 1.5 acc conf + 0.5 acc - conf
        A(i, j) = A_grpo_i + weight (Phi_j - Phi_(j-1))

    Once Phi has reached `saturation`, A_grpo counts by `damping` on all later tokens of the row.

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Constants; `weight` and `damping` have to be given.
        step_conf: [B, T] float; on the last token of each step the confidence of the answers probed there, in [0, 1];
            nan on all other tokens.
        step_acc: [B, T] float; their accuracy, in [0, 1], at the same tokens.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite, a probe is outside [0, 1], or the two signals are probed at different
            tokens.
        ConfigError: `config` belongs to another method.

    Edge cases: the potential before the first step is 0 [OD]; tokens after the last probe have the outcome's part
    alone; a row without probes is left as it is.

    Source: arXiv 2601.03823, cii030/SPAE-RL; [AC] potential and saturation, [S2] shape.
    Differs from it: where steps end is said by the signals, and damping is a plain factor [OD].
    """
    check_config("spae", config, SpaeConfig)
    scores = outcome_scores("spae", rewards, response_mask, group_ids)
    check_signal("spae", "step_conf", step_conf, torch.float32, response_mask.shape)
    check_signal("spae", "step_acc", step_acc, torch.float32, response_mask.shape)
    steps = steps_between(step_conf)
    outcome = group_relative(scores, group_rows(group_ids))
    result = broadcast(outcome, response_mask, rewards)
    steps.add_to(result.advantages, _changes(_potential(step_conf, step_acc, steps), outcome, steps, config))
    for rows in row_blocks(response_mask):
        result.advantages[rows].masked_fill_(response_mask[rows] == 0, 0.0)
    return result


def _potential(step_conf: Tensor, step_acc: Tensor, steps: Turns) -> Tensor:
    """[S] float64: the potential at the end of each step; 0 for the last of a row, which no probe ends."""
    probed = ~steps.is_last
    row, token = steps.row[probed], steps.end[probed] - 1
    conf, acc = step_conf[row, token].double(), step_acc[row, token].double()
    num_probes = sum(int(torch.isnan(step_acc[rows]).logical_not_().sum()) for rows in row_blocks(step_acc))
    if torch.isnan(acc).any() or num_probes != len(acc):
        raise InputError("spae: step_conf and step_acc must be given at the same tokens, and be nan at all others")
    probes = torch.cat([conf, acc])
    if ((probes < 0) | (probes > 1)).any():
        raise InputError(f"spae: step_conf and step_acc must be in [0, 1], got {probes.min():g} to {probes.max():g}")
    return torch.zeros_like(probed, dtype=torch.float64).masked_scatter_(probed, 1.5 * acc * conf + 0.5 * acc - conf)


def _changes(potential: Tensor, outcome: Tensor, steps: Turns, config: SpaeConfig) -> Tensor:
    """[S] float64: what each step adds to its row's outcome part."""
    before = potential.roll(1).masked_fill(steps.position == 0, 0.0)
    brought = (potential - before).masked_fill(steps.is_last, 0.0)
    reached = (potential >= config.saturation) & ~steps.is_last
    num_earlier = reached.cumsum(0) - reached.long()
    settled = num_earlier > num_earlier[steps.first][steps.row]
    return config.weight * brought + torch.where(settled, (config.damping - 1) * outcome[steps.row], 0.0)


REGISTRATION: Registration = {
    "config": SpaeConfig,
    "source": "arXiv 2601.03823, cii030/SPAE-RL",
    "evidence": "[AC] potential and saturation, [S2] shape; weight and damping have to be given",
    "difference": "the signals say where steps end; damping is a plain factor",
    "needs": ("step_conf", "step_acc"),
    "tier": 3,
    "level": "token",
}
