"""What an update by `info_gain` did, for a log."""

import torch
from torch import Tensor

from gainful.advantage.carried import Carried, read_carried
from gainful.advantage.groups import group_rows
from gainful.advantage.info_gain_credit import InfoGainConfig, row_totals, turn_part
from gainful.advantage.turns import Turns, find_turns

__all__ = ["info_gain_metrics"]

PREFIX = "infogain/"
NUM_PLACES = 8
"""Turns that have a mean gain of their own."""


@torch.no_grad()
def info_gain_metrics(
    advantages: Tensor, rewards: Tensor, response_mask: Tensor, group_ids: Tensor, *, config: InfoGainConfig
) -> dict[str, float]:
    """Statistics of one update; nan for what has no value, never 0.

    Args:
        advantages: [B, T], as `info_gain` returned them for the other arguments.

    Returns:
        Names with the prefix `infogain/`. Over known gains: `gain_mean`, `gain_std`, `negative_rate`, and
        `gain_turn_1` to `gain_turn_8` by place. Over rows that searched and whose sum is known: `total_mean`. Over all
        gains: `missing_rate`. Counts: `missing_turns`, `one_token_turns`, and `singleton_turns`, which have no peer.
        Means over turns of absolute parts of the advantage: `adv_out_abs`, `adv_turn_abs`.
    """
    turns, groups = find_turns(response_mask), group_rows(group_ids)
    carried = read_carried("info_gain", rewards, turns)
    by_turn = config.enabled and config.form == "turn"
    part = turn_part(carried, turns, groups, config) if by_turn else torch.zeros_like(carried.values)
    whole = advantages[turns.row, turns.start].double()
    peers = group_rows(turns.peer_keys(groups.index)[carried.known])
    values = {
        **_of_gains(carried, turns),
        "missing_turns": (~carried.known).sum(),
        "one_token_turns": carried.one_token.sum(),
        "singleton_turns": (peers.size == 1).sum(),
        "adv_out_abs": (whole - part).abs().mean(),
        "adv_turn_abs": part.abs().mean(),
    }
    return {PREFIX + name: float(value) for name, value in values.items()}


def _of_gains(carried: Carried, turns: Turns) -> dict[str, Tensor]:
    searched = ~turns.is_last
    known = searched & carried.known
    gains, place = carried.values[known], turns.position[known]
    complete = turns.row[known & (turns.position == 0)]
    return {
        "gain_mean": gains.mean(),
        "gain_std": (gains - gains.mean()).square().mean().sqrt(),
        "negative_rate": (gains < 0).double().mean(),
        "total_mean": row_totals(carried, turns)[complete].mean(),
        "missing_rate": (~carried.known).double().sum() / searched.sum(),
        **{f"gain_turn_{number + 1}": gains[place == number].mean() for number in range(NUM_PLACES)},
    }
