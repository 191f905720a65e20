"""Statistics over groups of rows. Ids may be negative, sparse or huge: they are compacted, never used as a size."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Groups", "group_rows"]


@dataclass(frozen=True, slots=True)
class Groups:
    """Which row belongs to which group."""

    index: Tensor
    """[B] int64: the row's group, 0 .. G-1."""
    size: Tensor
    """[G] int64: rows in each group."""

    def total(self, values: Tensor) -> Tensor:
        """[G]: sum of values [B] over each group, in their dtype; bool and integers count in int64."""
        if not values.is_floating_point():
            values = values.long()
        return values.new_zeros(self.size.shape).index_add_(0, self.index, values)

    def mean(self, values: Tensor) -> Tensor:
        """[G] float64: mean of values [B] over each group."""
        return self.total(values.double()) / self.size

    def variance(self, values: Tensor) -> Tensor:
        """[G] float64: population variance of values [B] over each group; 0 for a group of one."""
        centred = values.double() - self.mean(values)[self.index]
        return self.mean(centred.square())

    def sample_std(self, values: Tensor) -> Tensor:
        """[G] float64: sample standard deviation of values [B] over each group; 0 for a group of one."""
        return (self.variance(values) * self.size / (self.size - 1).clamp(min=1)).sqrt()

    def largest(self, values: Tensor) -> Tensor:
        """[G]: greatest of values [B] in each group, in their dtype."""
        return values.new_empty(self.size.shape).scatter_reduce_(0, self.index, values, "amax", include_self=False)

    def rank(self, values: Tensor) -> Tensor:
        """[B] int64: place of each row among its group by ascending value, from 0; ties keep the order of rows."""
        by_value = values.argsort(stable=True)
        order = by_value[self.index[by_value].argsort(stable=True)]
        starts = self.size.cumsum(0) - self.size
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=order.device)
        return places - starts[self.index]


def group_rows(group_ids: Tensor) -> Groups:
    """Compact the ids [B] int64 of a batch."""
    _, index, size = torch.unique(group_ids, return_inverse=True, return_counts=True)
    return Groups(index, size)
