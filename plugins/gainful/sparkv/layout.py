"""Where the chunks of a prompt lie and how many bytes each has on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gainful.errors import InputError

__all__ = ["ChunkLayout", "FloatArray"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """N chunks of equally many tokens, whole engine blocks, from `first_token` on.

    Raises:
        InputError: A number is impossible, or a chunk is no multiple of the block.
    """

    num_chunks: int
    """N."""
    chunk_tokens: int
    """g, a multiple of `block_tokens`."""
    chunk_bytes: int | Sequence[int]
    """b_i on the wire: one number for all, or [N]."""
    block_tokens: int = 1
    """Tokens of an engine block."""
    first_token: int = 0
    """Position of the first chunk; what is before it is computed already."""

    def __post_init__(self) -> None:
        if self.num_chunks < 0 or self.chunk_tokens < 1 or self.block_tokens < 1 or self.first_token < 0:
            raise InputError(f"ChunkLayout: sizes must be positive, got {self}")
        if self.chunk_tokens % self.block_tokens or self.first_token % self.block_tokens:
            raise InputError(
                f"ChunkLayout: chunk_tokens and first_token must be multiples of block_tokens {self.block_tokens}, "
                f"got {self.chunk_tokens} and {self.first_token}"
            )
        if not isinstance(self.chunk_bytes, int) and len(self.chunk_bytes) != self.num_chunks:
            raise InputError(f"ChunkLayout: chunk_bytes must have {self.num_chunks} entries, got {len(self.chunk_bytes)}")

    @property
    def end_token(self) -> int:
        """First position after the last chunk."""
        return self.start_of(self.num_chunks)

    def start_of(self, chunk: int) -> int:
        """First position of a chunk; of the one after the last, the end."""
        return self.first_token + chunk * self.chunk_tokens

    def bytes_of(self, chunk: int) -> int:
        """b_i."""
        return self.chunk_bytes if isinstance(self.chunk_bytes, int) else self.chunk_bytes[chunk]

    def positions(self) -> FloatArray:
        """p_i, [N]."""
        return self.first_token + self.chunk_tokens * np.arange(self.num_chunks, dtype=np.float64)
