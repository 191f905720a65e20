"""Codecs of 8 or 4 bits a value."""

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gainful.errors import ConfigError, InputError
from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec.arrays import tensor_of
from gainful.sparkv.codec.base import Arrays, Codec, Spec
from gainful.sparkv.codec.bfloat16 import round_down, round_up, to_bfloat16
from gainful.sparkv.codec.halves import Half, half_of

__all__ = ["QuantizedCodec"]

LARGEST = 2.0**126
"""Half the largest power of two of float32: differences cannot overflow."""
_TORCH_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class QuantizedCodec(Codec):
    """Affine codes of 8 or 4 bits."""

    version = 1
    lossy = True

    def __init__(self, layout: BlockLayout, *, bits: int) -> None:
        super().__init__(layout)
        if layout.dtype not in _TORCH_DTYPES:
            raise ConfigError(
                f"codec int{bits} needs a cache of {', '.join(_TORCH_DTYPES)}, got {layout.dtype}; use raw"
            )
        self.name = f"int{bits}"
        self._bits = bits
        self._levels = 2**bits - 1
        self._dtype = _TORCH_DTYPES[layout.dtype]

    @cached_property
    def _halves(self) -> dict[str, Half]:
        return {"k": half_of(self.layout, 0, self._bits), "v": half_of(self.layout, 1, self._bits)}

    def section(self, num_blocks: int) -> Spec:
        heads, num_values = self.layout.num_kv_heads, self.layout.block_size * self.layout.head_dim
        spec: Spec = {}
        for name, half in self._halves.items():
            spec[name] = ("uint8", (num_blocks, heads, num_values * self._bits // 8))
            spec |= {f"{name}_{part}": ("uint16", (num_blocks, heads, *half.params)) for part in ("low", "step")}
        return spec

    @torch.no_grad()
    def _encode(self, blocks: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        section = {}
        for name, half in self._halves.items():
            values = half.take(self._heads(blocks)).float()
            low, step = self._scales_of(values, half, name)
            per_step = torch.where(step > 0, step, 1.0)
            # with a new array as target: `values` is a view of the blocks themselves if the cache is float32
            codes = torch.sub(values, half.filled(low)).div_(half.filled(per_step)).round_().clamp_(0, self._levels)
            section[name] = self._pack(codes.to(torch.uint8).view(*values.shape[:2], -1)).numpy()
            for part, scale in (("low", low), ("step", step)):
                section[f"{name}_{part}"] = to_bfloat16(scale).view(*values.shape[:2], *half.params).numpy()
        return section

    def _scales_of(self, values: Tensor, half: Half, name: str) -> tuple[Tensor, Tensor]:
        low, high = values, values
        for dim in half.reduce:
            low, high = low.amin(dim, keepdim=True), high.amax(dim, keepdim=True)
        if not bool(((low >= -LARGEST) & (high <= LARGEST)).all()):  # false for nan too
            raise InputError(
                f"codec {self.name}: {name} has values that are not finite or beyond 2**126; store them raw"
            )
        low = round_down(low)
        return low, round_up((high - low) / self._levels)

    @torch.no_grad()
    def _decode(self, section: Arrays, out: Tensor) -> None:
        heads = self._heads(out)
        for name, half in self._halves.items():
            target = half.take(heads)
            low, step = (half.scales(section[f"{name}_{part}"]) for part in ("low", "step"))
            values = self._unpack(tensor_of(section[name])).view(target.shape).to(torch.float32)
            target.copy_(torch.addcmul(low, values, step, out=values))

    def _heads(self, blocks: Tensor) -> Tensor:
        """[blocks, heads, values of a head] over the same memory."""
        return blocks.view(self._dtype).view(len(blocks), self.layout.num_kv_heads, -1)

    def _pack(self, codes: Tensor) -> Tensor:
        """Two codes of 4 bits to a byte: those of the first half of a head below those of the second."""
        if self._bits == 8:
            return codes
        below, above = codes.chunk(2, dim=-1)
        return below | (above << 4)

    def _unpack(self, packed: Tensor) -> Tensor:
        if self._bits == 8:
            return packed
        codes = torch.empty(*packed.shape[:2], 2, packed.shape[2], dtype=torch.uint8)
        torch.bitwise_and(packed, 15, out=codes[:, :, 0])
        torch.bitwise_right_shift(packed, 4, out=codes[:, :, 1])
        return codes
