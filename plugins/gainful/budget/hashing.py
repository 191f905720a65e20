"""Names and draws from content: the same text, the same result, on every machine."""

import hashlib
import math

__all__ = ["short_hash", "uniform"]

_HEX_DIGITS = 16
_FLOAT_BITS = 53


def short_hash(text: str) -> str:
    """64 bits of SHA-256 in hexadecimal digits. What cannot be written as UTF-8 is replaced before."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:_HEX_DIGITS]


def uniform(text: str) -> float:
    """A number in [0, 1) drawn by `text`."""
    return math.ldexp(int(short_hash(text), base=16) >> (4 * _HEX_DIGITS - _FLOAT_BITS), -_FLOAT_BITS)
