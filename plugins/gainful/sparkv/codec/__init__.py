"""Codecs: whole engine blocks of one layer to the tensors of a frame's section and back. Needs torch.

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

from collections.abc import Callable, Mapping

from gainful.errors import ConfigError, did_you_mean
from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec.arrays import tensor_of
from gainful.sparkv.codec.base import Codec, RawCodec
from gainful.sparkv.codec.quantized import QuantizedCodec

__all__ = ["CODECS", "Codec", "QuantizedCodec", "RawCodec", "make_codec", "tensor_of"]

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
