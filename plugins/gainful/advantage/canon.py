"""What both forms of CANON share: each half of a group is measured against the other."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.groups import Groups
from gainful.config import Options

__all__ = ["CanonOptions", "conditional_advantage"]


class CanonOptions(Options):
    """Constants of both."""

    inter_weight: float = Field(default=1.0, ge=0, le=1)
    """w, weight of the comparison with the other half; in [0, 1]; default of the authors' code."""
    divide_by: float = Field(default=1.0, gt=0)
    """Divisor of the result; above 0; the default is ours, the authors' code divides by 8192."""


def conditional_advantage(
    scores: Tensor,
    metric: Tensor,
    groups: Groups,
    *,
    inter_weight: float,
    low_factor: float = 1.0,
    high_factor: float = 1.0,
) -> Tensor:
    """[B] float64: scores [B] compared between the halves of each group with low and with high metric [B].

    In comparisons between halves the scores of each half count by its factor.
    """
    num_low = groups.size // 2
    high = groups.rank(metric) >= num_low[groups.index]
    mean_low = (groups.total(scores.masked_fill(high, 0.0)) / num_low.clamp(min=1))[groups.index]
    mean_high = (groups.total(scores.masked_fill(~high, 0.0)) / (groups.size - num_low))[groups.index]
    between = torch.where(
        high, high_factor * scores - low_factor * mean_low, low_factor * scores - high_factor * mean_high
    )
    within = scores - torch.where(high, mean_high, mean_low)
    values = inter_weight * between + (1 - inter_weight) * within
    return values.masked_fill((groups.size == 1)[groups.index], 0.0)
