"""The bytes of one engine block of one layer: sizes, dtype and how the kernels pack them."""

from typing import Literal

from pydantic import Field, model_validator

from gainful.config import Options

__all__ = ["AMX_TILE", "DTYPE_BYTES", "BlockLayout", "KvDtype", "Packing"]

KvDtype = Literal["bfloat16", "float16", "float32", "fp8_e4m3", "fp8_e5m2"]
Packing = Literal["token_major", "vec", "vec16", "amx"]

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "fp8_e4m3": 1, "fp8_e5m2": 1}
AMX_TILE = 16
"""Rows of one tile of the AMX kernels."""


class BlockLayout(Options):
    """One block of one layer on one tensor-parallel rank; a block is one run of `block_bytes` bytes.

    With H heads, n tokens and d values a head, a block holds per head
    - `token_major`: [n, 2 d], keys before values in each row;
    - `vec`, `vec16`: keys as [d, n], then values as [n, d];
    - `amx`: keys as [n / 16, d / 2, 16, 2], then values as [d / 16, n / 2, 16, 2].
    Seen in vLLM 0.32's CPU kernels, except `token_major`.
    """

    num_kv_heads: int = Field(ge=1, le=4096)
    """Heads of keys and values on this rank."""
    block_size: int = Field(ge=1, le=65536)
    """Tokens in a block."""
    head_dim: int = Field(ge=1, le=4096)
    """Values in a key, and in a value."""
    dtype: KvDtype
    """Of the cache, not of the model."""
    packing: Packing = "token_major"
    """Order of the bytes inside a block."""

    @model_validator(mode="after")
    def _tiles(self) -> "BlockLayout":
        """Whole tiles only."""
        if self.packing == "amx" and (self.block_size % AMX_TILE or self.head_dim % AMX_TILE):
            raise ValueError(
                f"amx packing needs block_size and head_dim in multiples of {AMX_TILE}, "
                f"got {self.block_size} and {self.head_dim}"
            )
        return self

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of one layer."""
        return 2 * self.num_kv_heads * self.block_size * self.head_dim * DTYPE_BYTES[self.dtype]
