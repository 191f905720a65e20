"""Credit for what each search turn told the policy, on top of GRPO's credit for the answer."""

from collections.abc import Callable

import torch
from torch import Tensor

from gainful.advantage.carried import read_carried
from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import Groups, group_rows
from gainful.advantage.info_gain_credit import InfoGainConfig, row_gain, turn_part
from gainful.advantage.info_gain_metrics import info_gain_metrics
from gainful.advantage.missing_gains import may_use_gains
from gainful.advantage.rows import broadcast, check_config, check_shapes, outcome_scores, spread
from gainful.advantage.turns import find_turns
from gainful.advantage.types import Advantages, Registration

__all__ = ["info_gain"]


@torch.no_grad()
def info_gain(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: InfoGainConfig = InfoGainConfig(),
    base: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Advantages:
    """Advantage of the outcome plus lambda times a centred gain-to-go per turn.

    With v(i, k) the gain of turn k of row i, 0 on its last turn, and alive(g, k) the rows of group g with a turn k:

        G(i, k) = sum over j >= k of gamma^(j - k) v(i, j)
        A(i, k) = A_outcome(i) + lambda * (G(i, k) - mean of G(i', k) over i' in alive(g, k), i' != i)

    Args:
        rewards: [B, T]; the outcome on or after the last turn, gains before it as `gainful.carry` lays them out. Or
            [B], if no row has more than one turn.
        response_mask: [B, T]; turns are its runs of nonzero entries.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Weight, form, baseline, and what a missing gain does.
        base: Of outcome [B] and group ids [B], gives advantages [B]: a host's own GRPO, where it is wanted bit for bit.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, constant over a turn, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A reward is not finite, or stands before the last turn and is no carried gain.
        MissingInputError: Gains are missing and the options say stop.
        ConfigError: `config` belongs to another method.

    Edge cases: with lambda 0 the result is that of `base` bit for bit; a turn without a peer has no turn part; a row
    without turns gets zeros, though its outcome counts in its group. A turn whose gain is missing has no turn part
    and is nobody's peer; a row whose sum of gains is missing takes the mean of its group's.

    Source: reward of InfoReasoner, arXiv 2602.00845, dl-m9/InfoReasoner.
    Differs from it: credit per turn with an unbiased baseline, where the authors add one number to the outcome of a
    trajectory (`form="trajectory_sum"`); a gain that could not be measured is not zero [OD].
    """
    check_config("info_gain", config, InfoGainConfig)
    check_shapes("info_gain", rewards, response_mask, group_ids)
    turns = find_turns(response_mask)
    carried = read_carried("info_gain", rewards, turns)
    scores = outcome_scores("info_gain", carried.outcome, response_mask, group_ids)
    groups = group_rows(group_ids)
    if not config.enabled or config.weight == 0 or not may_use_gains(carried, turns, config.missing):
        return _on_outcome(carried.outcome, response_mask, group_ids, groups, base)
    if config.form != "turn":
        rewarded = scores + config.weight * row_gain(carried, turns, groups, config)
        return _on_outcome(rewarded.to(carried.outcome.dtype), response_mask, group_ids, groups, base)
    result = _on_outcome(carried.outcome, response_mask, group_ids, groups, base)
    turns.add_to(result.advantages, turn_part(carried, turns, groups, config))
    return result


def _on_outcome(
    outcome: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    groups: Groups,
    base: Callable[[Tensor, Tensor], Tensor] | None,
) -> Advantages:
    if base is not None:
        advantages = spread(base(outcome, group_ids), response_mask)
        return Advantages(advantages, advantages)
    return broadcast(group_relative(outcome.double(), groups), response_mask, outcome)


REGISTRATION: Registration = {
    "config": InfoGainConfig,
    "source": "InfoReasoner, arXiv 2602.00845, dl-m9/InfoReasoner",
    "evidence": "[AC] reward and weight per trajectory, [D] credit per turn, [OD] missing gains",
    "difference": "per turn with an unbiased baseline; a missing gain is not 0",
    "optional": ("base",),
    "tier": 1,
    "level": "turn",
    "maps_reward": True,
    "batch_metrics": info_gain_metrics,
}
