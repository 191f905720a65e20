"""A model of arithmetic: what it writes into the cache, and the tokens that follow, depend on every byte before them.

A token's row in a layer's cache is one number times constants. The number mixes the token with a weighted sum over all
rows of all tokens before it, read back from the cache of every rank. So a single wrong bit, a block of another prompt,
or two blocks in the wrong order change all that is computed from there on. Numbers are integers modulo 2**64: how a
prompt is cut into steps does not matter.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

__all__ = ["ArithmeticModel", "tokens_after"]

MASK = (1 << 64) - 1
ODD = 0x9E3779B97F4A7C15
MAX_TOKENS = 4096
POSITIONS = (np.arange(MAX_TOKENS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)) * np.uint64(ODD)
POSITION = POSITIONS.tolist()


def mixed(value: int) -> int:
    """Splitmix64's finisher."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


class ArithmeticModel:
    """Layers of all ranks as [rows per token] constants, written and read with numpy on the engine's own tensors."""

    def __init__(self, num_layers: int, num_ranks: int, row_numbers: int) -> None:
        draw = np.random.default_rng(5)
        shape = (num_ranks, num_layers, row_numbers)
        self.written, self.read = (draw.integers(0, 1 << 63, shape, dtype=np.uint64) * 2 + 1 for _ in range(2))
        self.gain = int((self.written * self.read).sum(dtype=np.uint64))
        self.num_layers, self.num_ranks = num_layers, num_ranks

    def sum_before(self, layer: int, rank: int, rows: np.ndarray) -> int:
        """What one layer of one rank says about [tokens, row_numbers] that were computed or loaded."""
        weighted = (rows * self.read[rank, layer]).sum(axis=1, dtype=np.uint64)
        return int((weighted * POSITIONS[: len(rows)]).sum(dtype=np.uint64))

    def numbers(self, start: int, tokens: Sequence[int], before: int) -> tuple[list[int], int]:
        """The numbers of tokens from position `start` on, and the sum after them."""
        found = []
        for position, token in enumerate(tokens, start):
            number = mixed((token * ODD + before) & MASK)
            before = (before + number * POSITION[position] * self.gain) & MASK
            found.append(number)
        return found, before

    def rows(self, layer: int, rank: int, numbers: Sequence[int]) -> np.ndarray:
        """[tokens, row_numbers] for the cache."""
        return np.array(numbers, dtype=np.uint64)[:, None] * self.written[rank, layer]

    def next_token(self, before: int) -> int:
        """Greedy, from 2**30 tokens: two different caches do not agree by chance."""
        return mixed(before ^ ODD) >> 34


@lru_cache(4096)
def tokens_after(model: ArithmeticModel, prompt: tuple[int, ...], num_tokens: int) -> tuple[int, ...]:
    """Plain prefill and decoding, without any cache: what every run must give."""
    _, before = model.numbers(0, prompt, 0)
    found: list[int] = []
    while len(found) < num_tokens:
        found.append(model.next_token(before))
        _, before = model.numbers(len(prompt) + len(found) - 1, found[-1:], before)
    return tuple(found)


def as_numbers(cache: torch.Tensor) -> np.ndarray:
    """vLLM's tensor of one layer as [blocks, tokens of a block, row_numbers], sharing its memory."""
    num_blocks, heads, block_tokens, width = cache.shape
    assert heads == 1
    return cache.view(num_blocks, -1).numpy().view(np.uint64).reshape(num_blocks, block_tokens, width // 2)
