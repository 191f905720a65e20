"""The baseline of a turn: what the other rows of the group got that were still going."""

import torch
from torch import Tensor

from gainful.advantage.groups import group_rows

__all__ = ["centred"]


def centred(values: Tensor, known: Tensor, keys: Tensor, *, leave_one_out: bool) -> Tensor:
    """[S] float64: values of turns less the mean of their peers.

    Args:
        values: [S], one per turn.
        known: [S] bool; the others are nobody's peers and get zero.
        keys: [S] int64; equal for peers.
        leave_one_out: A turn is no peer of its own. Else the result shrinks by (n - 1) / n for n peers.

    Edge case: a turn without any other peer gets zero, never an uncentred value.
    """
    peers = group_rows(keys[known])
    chosen = values[known]
    result = chosen - peers.mean(chosen)[peers.index]
    if leave_one_out:
        result = result * (peers.size / (peers.size - 1).clamp(min=1))[peers.index]
    result = result.masked_fill((peers.size == 1)[peers.index], 0.0)
    return torch.zeros_like(values).masked_scatter_(known, result)
