"""What a codec is, and the one that keeps every bit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gainful.errors import IntegrityError, ShapeError
from gainful.sparkv.blocks import BlockLayout

__all__ = ["Arrays", "Codec", "RawCodec", "Spec"]

Arrays = Mapping[str, npt.NDArray[np.generic]]
Spec = dict[str, tuple[str, tuple[int, ...]]]


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
