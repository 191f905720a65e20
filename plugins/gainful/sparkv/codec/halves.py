"""How a quantising codec sees the keys and the values of a block: what shares a scale, in each packing of the cache."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gainful.sparkv.blocks import AMX_TILE, BlockLayout
from gainful.sparkv.codec.arrays import tensor_of

__all__ = ["Half", "half_of"]

INT4_GROUP = 64
"""Most values that share a scale in `int4` (ours)."""


@dataclass(frozen=True, slots=True)
class Half:
    """Keys or values of a block, per head: a view [.., groups, rows, inner], statistics over rows (and tile rows)."""

    take: Callable[[Tensor], Tensor]
    """[blocks, heads, values of a head] -> view of this half, [blocks, heads, *lead, groups, rows, *tail]."""
    reduce: tuple[int, ...]
    """Dimensions of that view, from its end, that share a scale."""
    params: tuple[int, ...]
    """Shape of the scales of one head, as stored: [groups, channels] or [tokens, groups] of the same meaning."""
    keep: tuple[int, ...]
    """The same with the reduced dimensions as ones."""
    fill: tuple[int, ...]
    """`keep` with the inner ones filled up, so that scales are read in long runs."""

    def filled(self, scales: Tensor) -> Tensor:
        """Scales [blocks, heads, ...] in a form that broadcasts fast against the view."""
        lead = scales.shape[:2]
        return scales.view(*lead, *self.keep).expand(*lead, *self.fill).contiguous()

    def scales(self, stored: npt.NDArray[np.generic]) -> Tensor:
        """Stored upper halves of float32 as `filled` float32."""
        return self.filled(tensor_of(stored.view(np.int16)).view(torch.bfloat16).float())


def half_of(layout: BlockLayout, which: int, bits: int) -> Half:
    """How keys (0) or values (1) are seen: keys have groups of tokens per channel, values of channels per token."""
    tokens, channels = layout.block_size, layout.head_dim
    grouped, apart = (channels, tokens) if which else (tokens, channels)
    tile = AMX_TILE if layout.packing == "amx" else 1
    group = _group(grouped, tile, bits)
    groups, rows = grouped // group, group // tile

    def area(heads: Tensor) -> Tensor:
        if layout.packing == "token_major":
            return heads.view(*heads.shape[:2], tokens, 2, channels)[..., which, :]
        size = tokens * channels
        return heads.narrow(-1, which * size, size).view(*heads.shape[:2], apart, grouped)

    def seen(heads: Tensor, *shape: int) -> Tensor:
        return area(heads).view(*heads.shape[:2], *shape)

    if layout.packing == "amx":  # one head is [grouped / 16, apart / 2, 16, 2]
        pairs = apart // 2
        shape = (groups, rows, pairs, tile, 2)
        kept, filled = (groups, 1, pairs, 1, 2), (groups, 1, pairs, tile, 2)
        return Half(lambda heads: seen(heads, *shape), (-4, -2), (groups, apart), kept, filled)
    if layout.packing == "token_major" and which == 0:  # [tokens, channels]: the groups are columns
        columns = (groups, 1, apart)
        return Half(lambda heads: seen(heads, groups, rows, apart), (-2,), (groups, apart), columns, columns)
    runs = (apart, groups, 1)
    return Half(lambda heads: seen(heads, apart, groups, rows), (-1,), (apart, groups), runs, runs)


def _group(grouped: int, tile: int, bits: int) -> int:
    """Values that share a scale: all of them, or for 4 bits the largest part of at most 64 in whole tiles."""
    if bits == 8:
        return grouped
    return next(size for size in range(min(grouped, INT4_GROUP), 0, -1) if grouped % size == 0 and size % tile == 0)
