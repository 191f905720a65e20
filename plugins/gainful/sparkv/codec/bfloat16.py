"""Rounding to bfloat16 in a known direction, on the bits of float32."""

import torch
from torch import Tensor

__all__ = ["round_down", "round_up", "to_bfloat16"]


def round_down(values: Tensor) -> Tensor:
    """Largest bfloat16 not above, as float32."""
    bits = values.view(torch.int32)
    return torch.where(bits < 0, bits + 0xFFFF, bits).bitwise_and_(-0x10000).view(torch.float32)


def round_up(values: Tensor) -> Tensor:
    """Smallest bfloat16 not below a value >= 0, as float32."""
    return (values.view(torch.int32) + 0xFFFF).bitwise_and_(-0x10000).view(torch.float32)


def to_bfloat16(values: Tensor) -> Tensor:
    """The upper 16 bits, as uint16; exact after the roundings above."""
    return (values.contiguous().view(torch.int32) >> 16).to(torch.int16).view(torch.uint16)
