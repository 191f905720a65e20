"""Reads back what `gainful.carry` put into a reward tensor."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gainful.advantage.rows import row_blocks, row_sums
from gainful.advantage.turns import Turns
from gainful.carry import LIMIT, MARKER
from gainful.errors import InputError, ShapeError

__all__ = ["Carried", "read_carried"]


@dataclass(frozen=True, slots=True)
class Carried:
    """What a reward tensor holds beside the outcome."""

    outcome: Tensor
    """[B]: the row without what it carries; float32, or float64 for float64 rewards."""
    values: Tensor
    """[S] float64: value of each turn; 0 for the last turn of a row and where it is missing."""
    known: Tensor
    """[S] bool: false for a turn before the last whose value is missing or did not fit into its one token."""
    one_token: Tensor
    """[S] bool: turns before the last that are too short to carry a value."""


def read_carried(where: str, rewards: Tensor, turns: Turns) -> Carried:
    """Outcome and turn values of a batch.

    Args:
        where: The method, for messages.
        rewards: [B, T], as `gainful.carry` lays it out; [B] is the outcome alone.
        turns: Of the same batch, by `find_turns`.

    Raises:
        ShapeError: Rewards [B] for a row with several turns: the values are not there.
        InputError: A reward before the last turn that nothing explains; says where and what.
    """
    before_last = ~turns.is_last
    one_token = before_last & (turns.end - turns.start == 1)
    if rewards.dim() == 1:
        if before_last.any():
            raise ShapeError(f"{where}: rewards must be [B, T] to carry values of turns, got {list(rewards.shape)}")
        return Carried(row_sums(rewards), turns.row.double() * 0, torch.ones_like(before_last), one_token)
    row, column, value = _nonzero(rewards)
    turn = turns.of_tokens(row, column)
    carries = (turn >= 0) & before_last[turn.clamp(min=0)] if len(before_last) else turn >= 0
    outcome = row_sums(rewards)
    if carries.any():
        outcome = torch.zeros_like(outcome, dtype=torch.float64).index_add_(0, row[~carries], value[~carries])
        outcome = outcome.to(torch.float64 if rewards.dtype == torch.float64 else torch.float32)
    values = _balanced(where, turns, one_token, row[carries], column[carries], value[carries], turn[carries])
    known = ~one_token & (values != MARKER)
    return Carried(outcome, values.masked_fill(~known, 0.0), known, one_token)


def _nonzero(rewards: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, token and float64 value of all rewards that are not zero; few, whatever the size of the batch."""
    parts = [_nonzero_in(rewards, rows) for rows in row_blocks(rewards)]
    if not parts:
        nothing = torch.zeros(0, dtype=torch.int64, device=rewards.device)
        return nothing, nothing, nothing.double()
    row, column, value = (torch.cat(part) for part in zip(*parts, strict=True))
    return row, column, value


def _nonzero_in(rewards: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    block = rewards[rows]
    row, column = block.nonzero(as_tuple=True)
    return row + rows.start, column, block[row, column].double()


def _balanced(
    where: str, turns: Turns, one_token: Tensor, row: Tensor, column: Tensor, value: Tensor, turn: Tensor
) -> Tensor:
    """[S]: the value on each turn's last token, if the first token holds its negative and nothing else is there."""
    at_start, at_end = column == turns.start[turn], column == turns.end[turn] - 1
    values, negatives = (torch.zeros(len(turns.row), dtype=torch.float64, device=row.device) for _ in range(2))
    values[turn[at_end]] = value[at_end]
    negatives[turn[at_start]] = value[at_start]
    wrong = ~(at_start | at_end) | one_token[turn]
    wrong |= (values != -negatives)[turn] | ~_possible(values)[turn]
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise InputError(
            f"{where}: rewards before the last turn must come from gainful's agent loop, plus a value on the last "
            f"token of a turn and minus it on the first; got {value[first]:g} on token {int(column[first])} of row "
            f"{int(row[first])}. Put the outcome into reward_score and add no reward of your own to other tokens"
        )
    return values


def _possible(values: Tensor) -> Tensor:
    return (values.abs() <= LIMIT) | (values == MARKER)
