"""Turns are the runs of ones in a response mask. Found once, then all work is on the list of turns, not on tokens.

A map from token to turn of the size of the batch would need twice the memory of the result; filling the result by
blocks of rows needs none.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gainful.advantage.groups import group_rows
from gainful.advantage.rows import row_blocks

__all__ = ["Turns", "find_turns", "steps_between"]


@dataclass(frozen=True, slots=True)
class Turns:
    """The S turns of a batch, by row and then by position."""

    row: Tensor
    """[S] int64: the row that each turn belongs to, ascending."""
    start: Tensor
    """[S] int64: its first token."""
    end: Tensor
    """[S] int64: one past its last token."""
    first: Tensor
    """[B] int64: index in this list of each row's first turn."""
    count: Tensor
    """[B] int64: turns of each row."""
    num_tokens: int
    """T."""

    @property
    def position(self) -> Tensor:
        """[S] int64: place of each turn in its row, from 0."""
        return torch.arange(len(self.row), device=self.row.device) - self.first[self.row]

    @property
    def is_last(self) -> Tensor:
        """[S] bool: true for the last turn of each row."""
        return self.position == self.count[self.row] - 1

    def sums(self, rewards: Tensor) -> Tensor:
        """[S] float64: sum of rewards [B, T] over each turn and the tokens after it, up to the next turn.

        What comes before the first turn counts there; rows without a turn are left out.
        """
        totals = self.row.new_zeros(self.row.shape, dtype=torch.float64)
        for rows in row_blocks(rewards):
            row, column = rewards[rows].nonzero(as_tuple=True)
            values = rewards[rows][row, column].double()
            turn = self.of_tokens(row + rows.start, column)
            has_turn = turn >= 0
            totals.index_add_(0, turn[has_turn], values[has_turn])
        return totals

    def of_tokens(self, row: Tensor, column: Tensor) -> Tensor:
        """[N] int64: the turn that tokens [N] count for: their own, else the one before, else the first of the row.

        -1 in a row without turns.
        """
        starts = self.row * self.num_tokens + self.start
        turn = torch.searchsorted(starts, row * self.num_tokens + column, right=True) - 1
        return torch.maximum(turn, self.first[row]).masked_fill(self.count[row] == 0, -1)

    def to_go(self, values: Tensor, gamma: float) -> Tensor:
        """[S] float64: values [S] summed from each turn to the end of its row, discounted by gamma per turn."""
        result = values.double().clone()
        for position in range(int(self.count.max()) - 2, -1, -1) if len(self.count) else ():
            here = (self.first + position)[self.count > position + 1]
            result[here] += gamma * result[here + 1]
        return result

    def peer_keys(self, group_ids: Tensor) -> Tensor:
        """[S] int64: equal for turns at the same place in rows of the same group; group_ids [B] int64."""
        return group_rows(group_ids).index[self.row] * (self.num_tokens + 1) + self.position

    def add_to(self, advantages: Tensor, values: Tensor) -> None:
        """Add values [S] to advantages [B, T] in place, each on the tokens of its turn."""
        values = values.to(advantages.dtype)
        for rows in row_blocks(advantages):
            turns = slice(*self._turns_in(rows))
            block = advantages[rows]
            offset = (self.row[turns] - rows.start) * self.num_tokens
            borders = torch.stack([self.start[turns] + offset, self.end[turns] + offset], dim=1).flatten()
            edges = torch.cat([borders.new_zeros(1), borders, borders.new_full((1,), block.numel())])
            # gap, turn, gap, turn, ..., gap
            levels = torch.zeros(len(edges) - 1, dtype=values.dtype, device=values.device)
            levels[1::2] = values[turns]
            block += levels.repeat_interleave(edges.diff(), output_size=block.numel()).view(block.shape)

    def _turns_in(self, rows: slice) -> tuple[int, int]:
        """First and one past last turn of a block of rows."""
        last = min(rows.stop, len(self.count)) - 1
        return int(self.first[rows.start]), int(self.first[last] + self.count[last])


def find_turns(response_mask: Tensor) -> Turns:
    """The turns of a mask [B, T]."""
    num_rows, num_tokens = response_mask.shape
    found = [_borders(response_mask[rows], rows.start) for rows in row_blocks(response_mask)]
    row, start, end = (torch.cat(part) for part in zip(*found, strict=True)) if found else _no_turns(response_mask)
    count = torch.bincount(row, minlength=num_rows)
    return Turns(row, start, end, count.cumsum(0) - count, count, num_tokens)


def steps_between(probes: Tensor) -> Turns:
    """The steps that end at the tokens of probes [B, T] float that are not nan, each beginning where the last ended.

    What is left after the last probe of a row, perhaps nothing, is the row's last step.
    """
    num_rows, num_tokens = probes.shape
    found = [_probed(probes[rows], rows.start) for rows in row_blocks(probes)]
    row, end = (torch.cat(part) for part in zip(*found, strict=True)) if found else _no_turns(probes)[:2]
    count = torch.bincount(row, minlength=num_rows)
    first = count.cumsum(0) - count
    is_first = torch.arange(len(row), device=row.device) == first[row]
    return Turns(row, end.roll(1).masked_fill(is_first, 0), end, first, count, num_tokens)


def _probed(probes: Tensor, first_row: int) -> tuple[Tensor, Tensor]:
    """Row, and one past the token, of each probe in a block of rows; and T once more for each row."""
    num_rows, num_tokens = probes.shape
    row, column = torch.isnan(probes).logical_not_().nonzero(as_tuple=True)
    row = torch.cat([row, torch.arange(num_rows, device=row.device)])
    end = torch.cat([column + 1, column.new_full((num_rows,), num_tokens)])
    order = (row * (num_tokens + 1) + end).argsort(stable=True)
    return row[order] + first_row, end[order]


def _borders(mask: Tensor, first_row: int) -> tuple[Tensor, Tensor, Tensor]:
    """Row, start and end of each turn in a block of rows."""
    policy = torch.nn.functional.pad(mask != 0, (1, 1))
    change = policy[:, 1:] != policy[:, :-1]
    row, column = change.nonzero(as_tuple=True)  # starts and ends take turns
    return row[::2] + first_row, column[::2], column[1::2]


def _no_turns(response_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    empty = torch.zeros(0, dtype=torch.int64, device=response_mask.device)
    return empty, empty, empty
