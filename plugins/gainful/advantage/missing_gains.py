"""What happens to gains that could not be measured. Nothing here ever makes one of them zero."""

import logging
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.carried import Carried
from gainful.advantage.turns import Turns
from gainful.config import Options
from gainful.errors import MissingInputError

__all__ = ["MissingOptions", "may_use_gains", "spoilt_groups"]

logger = logging.getLogger("gainful.advantage")


class MissingOptions(Options):
    """What a missing gain does. Ours."""

    action: Literal["neutral", "drop_group", "stop"] = "neutral"
    """`neutral`: its turn gets its group's baseline, and leaves it; `drop_group`: no turn of its group gets a turn
    part; `stop`: an error."""
    max_rate: float = Field(default=0.2, ge=0, le=1)
    """Largest share of gains that may be missing in an update."""
    on_excess: Literal["warn", "disable_step", "stop"] = "stop"
    """What happens above it: a warning, an update on the outcome alone, or an error."""


def may_use_gains(carried: Carried, turns: Turns, options: MissingOptions) -> bool:
    """Whether enough gains of a batch are known.

    Raises:
        MissingInputError: Not enough, and the options say stop; gives the counts.
    """
    num_missing, num_gains = int((~carried.known).sum()), int((~turns.is_last).sum())
    short = int(carried.one_token.sum())
    counts = f"info_gain: {num_missing} of {num_gains} gains are missing, {short} of them for turns of one token"
    if num_missing and options.action == "stop":
        raise MissingInputError(f"{counts}; missing.action is 'stop'")
    if num_missing <= options.max_rate * num_gains:
        return True
    message = f"{counts}, more than missing.max_rate={options.max_rate:g} allows"
    if options.on_excess == "stop":
        raise MissingInputError(f"{message}; the agent loop's metrics name the reasons; see also missing.on_excess")
    going_on = options.on_excess == "warn"
    logger.warning("%s; this update %s", message, "goes on" if going_on else "uses the outcome alone")
    return going_on


def spoilt_groups(carried: Carried, group: Tensor, num_groups: int, options: MissingOptions) -> Tensor:
    """[G] bool: groups without a turn part, because one of their gains is missing and the options drop them.

    Args:
        group: [S] int64; the group of each turn.
    """
    missing = torch.zeros(num_groups, dtype=torch.int64, device=group.device)
    if options.action == "drop_group":
        missing.index_add_(0, group, (~carried.known).long())
    return missing > 0
