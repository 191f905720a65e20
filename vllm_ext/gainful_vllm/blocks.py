"""The engine's KV cache as rows of bytes: one row per block, one table per layer."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from gainful.errors import ShapeError

__all__ = ["CacheBlocks", "by_chunk"]


class CacheBlocks:
    """Whole blocks only: inside a block the order of the bytes is the kernels' own."""

    def __init__(self, caches: Mapping[str, Tensor], block_bytes: int) -> None:
        """Take vLLM's tensors as they are registered.

        Raises:
            ShapeError: A layer's tensor is not one run of whole blocks on the CPU.
        """
        self.layer_of = {name: index for index, name in enumerate(caches)}
        self.rows = [_rows(name, cache, block_bytes) for name, cache in caches.items()]

    def copy_in(self, block_ids: Sequence[int], blocks: Tensor) -> None:
        """Write [layers, blocks, block_bytes] to the engine's blocks, one operation per layer."""
        ids = torch.as_tensor(block_ids)
        for rows, layer in zip(self.rows, blocks, strict=True):
            rows.index_copy_(0, ids, layer)

    def copy_in_layer(self, layer: int, block_ids: Sequence[int], blocks: Tensor) -> None:
        """The same for one layer: [blocks, block_bytes]."""
        self.rows[layer].index_copy_(0, torch.as_tensor(block_ids), blocks)

    def copy_out(self, block_ids: Sequence[int]) -> Tensor:
        """A copy of the engine's blocks, [layers, blocks, block_bytes]."""
        ids = torch.as_tensor(block_ids)
        out = torch.empty((len(self.rows), len(block_ids), self.rows[0].shape[1]), dtype=torch.uint8)
        for rows, layer in zip(self.rows, out, strict=True):
            torch.index_select(rows, 0, ids, out=layer)
        return out


def _rows(name: str, cache: Tensor, block_bytes: int) -> Tensor:
    if cache.device.type != "cpu" or not cache.is_contiguous():
        raise ShapeError(f"KV cache of {name}: expected contiguous memory of the cpu, got {cache.device}")
    rows = cache.view(cache.shape[0], -1).view(torch.uint8)
    if rows.shape[1] != block_bytes:
        raise ShapeError(f"KV cache of {name}: expected {block_bytes} bytes a block, got {rows.shape[1]}")
    return rows


def by_chunk(first: int, block_ids: Sequence[int], per_chunk: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Split consecutive blocks, of which `first` is the first one's position, into (chunk, offset in it, block ids)."""
    done = 0
    while done < len(block_ids):
        chunk, offset = divmod(first + done, per_chunk)
        ids = tuple(block_ids[done : done + per_chunk - offset])
        yield chunk, offset, ids
        done += len(ids)
