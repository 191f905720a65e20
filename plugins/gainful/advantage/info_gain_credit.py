"""What gains are worth in a group: per turn, or in one number per row."""

import logging
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from gainful.advantage.carried import Carried
from gainful.advantage.groups import Groups
from gainful.advantage.missing_gains import MissingOptions, spoilt_groups
from gainful.advantage.turn_baseline import centred
from gainful.advantage.turns import Turns
from gainful.config import Options

__all__ = ["InfoGainConfig", "row_gain", "row_totals", "turn_part"]

logger = logging.getLogger("gainful.advantage")

SCALE_FLOOR = 0.05
"""Least scale of `turn_scale="group_rms"` (ours): differences below it are noise of the probe."""


class InfoGainConfig(Options):
    """Options of `info_gain`."""

    enabled: bool = True
    """False: the outcome alone, and nothing is probed."""
    weight: float = Field(default=0.6, ge=0)
    """lambda, in advantage per unit of gain; 0.6 is dl-m9/InfoReasoner's, whose gain is one per trajectory."""
    form: Literal["turn", "trajectory_mean", "trajectory_sum"] = "turn"
    """`turn`: credit per turn. The others: GRPO on outcome + lambda * mean, or sum, of the gains of the row."""
    turn_baseline: Literal["loo", "mean", "per_index"] = "loo"
    """Over rows still going at a turn: mean of the others; of all, which shrinks the credit; `per_index` centres each
    gain and then accumulates, which is biased and here for comparison only."""
    turn_gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per turn."""
    turn_scale: Literal["none", "group_rms"] = "none"
    """`group_rms`: divide the credit of a group by its root mean square, which is at least 0.05 (ours)."""
    missing: MissingOptions = MissingOptions()
    """What a gain that could not be measured does."""

    @model_validator(mode="after")
    def _warn_of_bias(self) -> "InfoGainConfig":
        if self.turn_baseline == "per_index":
            logger.warning(
                "info_gain: turn_baseline='per_index' is biased where the policy decides how often it searches; use it "
                "for comparison only"
            )
        return self


def row_gain(carried: Carried, turns: Turns, groups: Groups, config: InfoGainConfig) -> Tensor:
    """[B] float64: sum, or mean over its search turns, of the gains of each row.

    A sum is known if the first gain is: whoever carries telescoping gains lets each stand for the missing ones after
    it, and marks all of a row where that cannot be done.
    """
    total = row_totals(carried, turns)
    if config.form == "trajectory_mean":
        total = total / (turns.count - 1).clamp(min=1)
    first = turns.position == 0
    known = torch.ones_like(turns.count, dtype=torch.bool)
    known[turns.row[first]] = carried.known[first]
    expected = groups.total(total.masked_fill(~known, 0.0)) / groups.total(known).clamp(min=1)
    spoilt = spoilt_groups(carried, groups.index[turns.row], len(groups.size), config.missing)
    return torch.where(known, total, expected[groups.index]).masked_fill(spoilt[groups.index], 0.0)


def row_totals(carried: Carried, turns: Turns) -> Tensor:
    """[B] float64: sum of the known gains of each row."""
    return carried.values.new_zeros(turns.count.shape).index_add_(0, turns.row, carried.values)


def turn_part(carried: Carried, turns: Turns, groups: Groups, config: InfoGainConfig) -> Tensor:
    """[S] float64: what each turn gets beside the outcome."""
    group = groups.index[turns.row]
    known = carried.known & ~spoilt_groups(carried, group, len(groups.size), config.missing)[group]
    keys = turns.peer_keys(groups.index)
    if config.turn_baseline == "per_index":
        immediate = centred(carried.values, known, keys, leave_one_out=False)
        credit = turns.to_go(immediate, config.turn_gamma).masked_fill(~known, 0.0)
    else:
        to_go = turns.to_go(carried.values, config.turn_gamma)
        credit = centred(to_go, known, keys, leave_one_out=config.turn_baseline == "loo")
    if config.turn_scale == "group_rms":
        credit = credit / _scale(credit, known, group, len(groups.size))[group]
    return config.weight * credit


def _scale(credit: Tensor, known: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """[G]: root mean square over the turns of each group that have a credit, at least the floor."""
    squares, count = (credit.new_zeros(num_groups) for _ in range(2))
    squares.index_add_(0, group, credit.square())
    count.index_add_(0, group, known.double())
    return (squares / count.clamp(min=1)).sqrt().clamp(min=SCALE_FLOOR)
