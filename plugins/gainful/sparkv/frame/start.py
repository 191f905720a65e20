"""The first 64 bytes of a frame: what it is, how long its parts are, and the digest of its header."""

import struct
from hashlib import blake2b

from gainful.errors import IntegrityError
from gainful.sparkv.sealing import FrameKeys

__all__ = [
    "FIXED_BYTES",
    "LOSSY",
    "MAX_HEADER_BYTES",
    "MAX_PAYLOAD_BYTES",
    "MAX_TABLE_BYTES",
    "SEALED",
    "header_digest",
    "pack_start",
    "unpack_start",
]

MAGIC = b"SPARKV\x1a\n"
VERSION = 1
LOSSY, SEALED = 1, 2
MAX_TABLE_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 16 << 30
_START = struct.Struct("<8sHHIQQ32s")
FIXED_BYTES = _START.size
MAX_HEADER_BYTES = FIXED_BYTES + MAX_TABLE_BYTES


def pack_start(flags: int, text: bytes, payload_bytes: int, keys: FrameKeys | None) -> bytes:
    """The first `FIXED_BYTES` bytes of a frame with the table `text`."""
    start = _START.pack(MAGIC, VERSION, flags, len(text), payload_bytes, 0, b"")[:32]
    return start + header_digest(memoryview(start), memoryview(text), keys)


def unpack_start(view: memoryview) -> tuple[int, int, int, bytes]:
    """Flags, table length, payload length, digest."""
    if len(view) < FIXED_BYTES:
        raise IntegrityError(f"a frame has at least {FIXED_BYTES} bytes, found {len(view)}")
    magic, version, flags, table_bytes, payload_bytes, reserved, digest = _START.unpack_from(view)
    if magic != MAGIC or version != VERSION or reserved:
        raise IntegrityError(f"not a frame of version {VERSION}: it begins with {bytes(view[:10])!r}")
    if table_bytes > MAX_TABLE_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise IntegrityError(f"impossible lengths: table {table_bytes} bytes, payload {payload_bytes} bytes")
    return flags, table_bytes, payload_bytes, digest


def header_digest(start: memoryview, text: memoryview, keys: FrameKeys | None) -> bytes:
    """BLAKE2b of the first 32 bytes and the table; keyed if the frame is sealed."""
    state = blake2b(start, digest_size=32, key=keys.mac_key if keys else b"", person=b"sparkv-header-v1")
    state.update(text)
    return state.digest()
