"""Codecs: whole engine blocks of one layer to the tensors of a frame's section and back. The one file that needs torch.

    raw    every bit
    int8   8 bits a value; keys share a scale per channel of a head over a block's tokens, values per token of a head
    int4   4 bits a value; the same, cut into groups of at most 64

Codes are affine: x ~ low + step * code. `low` is rounded down and `step` up to bfloat16, so that the codes reach both
ends:

    |decoded - x| <= step / 2 + rounding of float32 and of the cache's dtype

They keep the kernel's order of values inside a block; only statistics follow tokens and channels, so nothing is
transposed on the way. Values that are not finite, or beyond 2**126, are refused by the quantising codecs and kept by
`raw`: a cache with such values is never stored lossily.

Everything is torch on whole layers, which releases the interpreter lock; calls share no state, so any thread may make
them. Torch may split an operation over its threads; who must not be disturbed calls torch.set_num_threads(1).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gainful.errors import ConfigError, InputError, IntegrityError, ShapeError, did_you_mean
from gainful.sparkv.blocks import AMX_TILE, BlockLayout

__all__ = ["CODECS", "Codec", "QuantizedCodec", "RawCodec", "make_codec", "tensor_of"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
Spec = dict[str, tuple[str, tuple[int, ...]]]

LARGEST = 2.0**126
"""Half the largest power of two of float32: differences cannot overflow."""
INT4_GROUP = 64
"""Most values that share a scale in `int4` (ours)."""
_TORCH_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


class Codec(ABC):
    """Encodes and decodes blocks of one layout; immutable, so threads may share it."""

    name: str
    version: int
    lossy: bool

    def __init__(self, layout: BlockLayout) -> None:
        self.layout = layout

    @abstractmethod
    def section(self, num_blocks: int) -> Spec:
        """Name -> dtype and shape of what `encode` makes out of `num_blocks` blocks."""

    @abstractmethod
    def _encode(self, blocks: Tensor) -> dict[str, npt.NDArray[np.generic]]: ...

    @abstractmethod
    def _decode(self, section: Arrays, out: Tensor) -> None: ...

    def encode(self, blocks: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        """Tensors of one layer's section.

        Args:
            blocks: [num_blocks, block_bytes] uint8, contiguous, on the CPU; not modified. `raw` refers to it instead of
                copying it.

        Raises:
            ShapeError: Not whole blocks of this layout.
            InputError: A value that a quantising codec refuses.
        """
        self._check_blocks(blocks)
        return self._encode(blocks)

    def decode(self, section: Arrays, out: Tensor) -> None:
        """Write one layer's blocks into `out`, [num_blocks, block_bytes] uint8, contiguous, on the CPU.

        Raises:
            ShapeError: `out` does not hold whole blocks of this layout.
            IntegrityError: The section is not what `encode` makes out of that many blocks.
        """
        self._check_blocks(out)
        self.check_section(section, len(out))
        self._decode(section, out)

    def check_section(self, section: Arrays, num_blocks: int) -> None:
        """`IntegrityError` unless names, dtypes and shapes are those of `section(num_blocks)`."""
        found = {name: (array.dtype.name, array.shape) for name, array in section.items()}
        expected = self.section(num_blocks)
        if found != expected:
            raise IntegrityError(f"codec {self.name}: a section of {num_blocks} blocks has {expected}, found {found}")

    def _check_blocks(self, blocks: Tensor) -> None:
        block_bytes = self.layout.block_bytes
        whole = blocks.dim() == 2 and blocks.shape[1] == block_bytes and blocks.dtype == torch.uint8
        if not (whole and blocks.is_contiguous() and blocks.device.type == "cpu"):
            raise ShapeError(
                f"codec {self.name}: blocks must be contiguous uint8 [num_blocks, {block_bytes}] on the cpu, "
                f"got {blocks.dtype} {list(blocks.shape)} on {blocks.device}"
            )


class RawCodec(Codec):
    """The bytes as they are, of any dtype and packing."""

    name = "raw"
    version = 1
    lossy = False

    def section(self, num_blocks: int) -> Spec:
        return {"kv": ("uint8", (num_blocks, self.layout.block_bytes))}

    def _encode(self, blocks: Tensor) -> dict[str, npt.NDArray[np.generic]]:
        return {"kv": blocks.numpy()}

    def _decode(self, section: Arrays, out: Tensor) -> None:
        np.copyto(out.numpy(), section["kv"])


@dataclass(frozen=True, slots=True)
class _Half:
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
    def _halves(self) -> dict[str, _Half]:
        return {"k": _half(self.layout, 0, self._bits), "v": _half(self.layout, 1, self._bits)}

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
                section[f"{name}_{part}"] = _to_bfloat16(scale).view(*values.shape[:2], *half.params).numpy()
        return section

    def _scales_of(self, values: Tensor, half: _Half, name: str) -> tuple[Tensor, Tensor]:
        low, high = values, values
        for dim in half.reduce:
            low, high = low.amin(dim, keepdim=True), high.amax(dim, keepdim=True)
        if not bool(((low >= -LARGEST) & (high <= LARGEST)).all()):  # false for nan too
            raise InputError(
                f"codec {self.name}: {name} has values that are not finite or beyond 2**126; store them raw"
            )
        low = _round_down(low)
        return low, _round_up((high - low) / self._levels)

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


def _half(layout: BlockLayout, which: int, bits: int) -> _Half:
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
        return _Half(lambda heads: seen(heads, *shape), (-4, -2), (groups, apart), kept, filled)
    if layout.packing == "token_major" and which == 0:  # [tokens, channels]: the groups are columns
        columns = (groups, 1, apart)
        return _Half(lambda heads: seen(heads, groups, rows, apart), (-2,), (groups, apart), columns, columns)
    runs = (apart, groups, 1)
    return _Half(lambda heads: seen(heads, apart, groups, rows), (-1,), (apart, groups), runs, runs)


def _group(grouped: int, tile: int, bits: int) -> int:
    """Values that share a scale: all of them, or for 4 bits the largest part of at most 64 in whole tiles."""
    if bits == 8:
        return grouped
    return next(size for size in range(min(grouped, INT4_GROUP), 0, -1) if grouped % size == 0 and size % tile == 0)


def _round_down(values: Tensor) -> Tensor:
    """Largest bfloat16 not above, as float32."""
    bits = values.view(torch.int32)
    return torch.where(bits < 0, bits + 0xFFFF, bits).bitwise_and_(-0x10000).view(torch.float32)


def _round_up(values: Tensor) -> Tensor:
    """Smallest bfloat16 not below a value >= 0, as float32."""
    return (values.view(torch.int32) + 0xFFFF).bitwise_and_(-0x10000).view(torch.float32)


def _to_bfloat16(values: Tensor) -> Tensor:
    """The upper 16 bits, as uint16; exact after the roundings above."""
    return (values.contiguous().view(torch.int32) >> 16).to(torch.int16).view(torch.uint16)


class _Writable:
    """Shows read-only memory to torch, which has no read-only tensors and warns about every such array."""

    def __init__(self, array: npt.NDArray[np.generic]) -> None:
        self._array = array  # keeps the memory alive
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def tensor_of(array: npt.NDArray[np.generic]) -> Tensor:
    """A tensor over an array's memory, which must not be written to if the array is read-only."""
    shown: Any = array if array.flags.writeable else np.asarray(_Writable(array))
    return torch.from_numpy(shown)


CODECS: Mapping[str, Callable[[BlockLayout], Codec]] = {
    "raw": RawCodec,
    "int8": lambda layout: QuantizedCodec(layout, bits=8),
    "int4": lambda layout: QuantizedCodec(layout, bits=4),
}
"""Name -> codec of a layout, from the least to the most lossy."""


def make_codec(name: str, layout: BlockLayout) -> Codec:
    """The codec called `name`; `ConfigError` if there is none or it does not take the layout's dtype."""
    if name not in CODECS:
        raise ConfigError(f"unknown codec {name!r}{did_you_mean(name, CODECS)}; known: {', '.join(CODECS)}")
    return CODECS[name](layout)
