"""Which tokens a chunk holds, and how many bytes it is on the wire."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gainful.errors import InputError

__all__ = ["MAX_CHUNKS", "ChunkLayout", "FloatArray", "IntArray"]

MAX_CHUNKS = 1_000_000
"""Of one request; refuses nonsense before anything is allocated. Ours."""

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkLayout:
    """N chunks of equally many tokens, all layers and heads deep, from `first_token` on.

    Chunks are what is fetched; an engine's blocks are what it can take over, so a chunk is a whole number of blocks.

    Raises:
        InputError: A size out of its range, blocks that do not fill a chunk, or byte counts that are not [N].
    """

    num_chunks: int
    """N >= 0."""
    chunk_tokens: int
    """g, tokens of a chunk."""
    chunk_bytes: int | IntArray
    """Encoded size: one for all, or [N]; in bytes."""
    first_token: int = 0
    """Position of the first token, which is behind what the engine has cached already."""
    block_tokens: int = 0
    """Tokens of an engine block; 0 for one block per chunk."""

    def __post_init__(self) -> None:
        if not 0 <= self.num_chunks <= MAX_CHUNKS or self.chunk_tokens < 1 or self.first_token < 0:
            raise InputError(
                f"ChunkLayout: expected 0 to {MAX_CHUNKS} chunks of at least one token from a position >= 0, got "
                f"{self.num_chunks} of {self.chunk_tokens} from {self.first_token}"
            )
        block_tokens = self.block_tokens or self.chunk_tokens
        if block_tokens < 0 or self.chunk_tokens % block_tokens:
            raise InputError(
                f"ChunkLayout: chunk_tokens must be a multiple of block_tokens, got {self.chunk_tokens} and "
                f"{block_tokens}; choose a chunk of whole engine blocks"
            )
        if self.first_token % block_tokens:
            raise InputError(
                f"ChunkLayout: first_token must be a multiple of block_tokens, got {self.first_token} and "
                f"{block_tokens}; engines cache whole blocks"
            )
        object.__setattr__(self, "block_tokens", block_tokens)
        _check_bytes(self.chunk_bytes, self.num_chunks)

    @property
    def end_token(self) -> int:
        """Position behind the last chunk."""
        return self.first_token + self.num_chunks * self.chunk_tokens

    def start_of(self, chunk: int) -> int:
        """Position of a chunk's first token."""
        return self.first_token + chunk * self.chunk_tokens

    def bytes_of(self, chunk: int) -> int:
        """Encoded size of one chunk."""
        return self.chunk_bytes if isinstance(self.chunk_bytes, int) else int(self.chunk_bytes[chunk])

    def positions(self) -> FloatArray:
        """Position of each chunk's first token, [N]."""
        return self.first_token + self.chunk_tokens * np.arange(self.num_chunks, dtype=np.float64)


def _check_bytes(chunk_bytes: int | IntArray, num_chunks: int) -> None:
    if isinstance(chunk_bytes, int):
        if chunk_bytes < 0:
            raise InputError(f"ChunkLayout: chunk_bytes must be >= 0, got {chunk_bytes}")
        return
    if chunk_bytes.shape != (num_chunks,) or chunk_bytes.dtype != np.int64:
        found = f"{chunk_bytes.dtype} {list(chunk_bytes.shape)}"
        raise InputError(f"ChunkLayout: chunk_bytes must be an int or int64 [{num_chunks}], got {found}")
    if chunk_bytes.size and chunk_bytes.min() < 0:
        raise InputError(f"ChunkLayout: chunk_bytes must be >= 0, got {int(chunk_bytes.min())}")
