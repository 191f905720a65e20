"""zstd for sections: an optional package, and nothing is allocated that the caller did not expect."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gainful.errors import IntegrityError, MissingExtraError
from gainful.sparkv.sealing import Buffer

__all__ = ["compress", "decompress"]

MAX_WINDOW_BYTES = 1 << 27
"""Of a zstd stream; ours stay far below, another's could ask for more memory than the output."""


def compress(parts: Sequence[Buffer], level: int) -> list[Buffer]:
    """One zstd frame that declares its size, in parts."""
    size = sum(len(part) for part in parts)
    stream = _zstandard().ZstdCompressor(level=level, write_content_size=True).compressobj(size=size)
    return [*(stream.compress(part) for part in parts), stream.flush()]


def decompress(data: Buffer, expected_bytes: int) -> Buffer:
    """Exactly `expected_bytes` bytes out of one zstd frame; `IntegrityError` for anything else.

    The declared size is compared before anything is allocated.
    """
    zstandard = _zstandard()
    try:
        declared = zstandard.frame_content_size(data)
        if declared != expected_bytes:
            raise IntegrityError(f"compressed section declares {declared} bytes, its table {expected_bytes}")
        if expected_bytes == 0:
            return b""
        plain: bytes = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompress(
            data, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise IntegrityError(f"compressed section cannot be read: {error}") from error
    if len(plain) != expected_bytes:
        raise IntegrityError(f"compressed section holds {len(plain)} bytes, its table says {expected_bytes}")
    return plain


def _zstandard() -> Any:
    try:
        return import_module("zstandard")
    except ImportError as error:
        raise MissingExtraError("compressed frames need the zstandard package; pip install 'gainful[zstd]'") from error
