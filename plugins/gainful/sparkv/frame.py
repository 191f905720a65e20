"""Frames: what is stored under a key. A chunk's tensors, one section per layer, each of which can be checked alone.

    0   magic           8 bytes  "SPARKV" 0x1a 0x0a
    8   version         u16      1
    10  flags           u16      1 lossy, 2 sealed
    12  table_bytes     u32      at most 1 MiB
    16  payload_bytes   u64      at most 16 GiB
    24  reserved        u64      0
    32  header digest   32 bytes BLAKE2b of the 32 bytes above and the table; keyed if the frame is sealed
    64  table           JSON, filled with blanks to a multiple of 64
        payload         the sections, back to back

The table lists for every section its stored length, its BLAKE2b digest and its tensors (name, dtype, shape, offsets);
what it lists must fill the section exactly. Numbers are little-endian. A section may be compressed, then sealed; the
digest is that of the stored bytes. Without sealing the digests show damage, not malice: who may write to the store can
forge them.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from math import prod
from typing import Annotated, Literal, NoReturn

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from gainful.config import Options
from gainful.errors import InputError, IntegrityError
from gainful.sparkv.compression import compress, decompress
from gainful.sparkv.keys import check_key
from gainful.sparkv.sealing import TAG_BYTES, Buffer, FrameKeys, Sealer

__all__ = [
    "FIXED_BYTES",
    "MAX_HEADER_BYTES",
    "Header",
    "SectionEntry",
    "Table",
    "TensorEntry",
    "header_bytes",
    "read_frame",
    "read_header",
    "write_frame",
]

MAGIC = b"SPARKV\x1a\n"
VERSION = 1
LOSSY, SEALED = 1, 2
ALIGNMENT = 64
MAX_TABLE_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 16 << 30
MAX_SECTION_BYTES = 1 << 30
_FIXED = struct.Struct("<8sHHIQQ32s")
FIXED_BYTES = _FIXED.size
MAX_HEADER_BYTES = FIXED_BYTES + MAX_TABLE_BYTES

Dtype = Literal["uint8", "int8", "uint16", "float16", "float32"]
_ITEM_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "float16": 2, "float32": 4}
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Size = Annotated[int, Field(ge=0, le=MAX_PAYLOAD_BYTES)]
Arrays = dict[str, npt.NDArray[np.generic]]


class TensorEntry(Options):
    """One tensor of a section."""

    name: Name
    dtype: Dtype
    shape: tuple[Size, ...] = Field(max_length=8)
    begin: Size
    """Offset in the section as it was before compression and sealing."""
    end: Size

    def fits(self, begin: int) -> bool:
        """Whether it starts at `begin` and has the length that dtype and shape ask for."""
        return self.begin == begin and self.end - begin == prod(self.shape) * _ITEM_BYTES[self.dtype]


class SectionEntry(Options):
    """One layer."""

    stored_bytes: Size
    digest: Hex64
    tensors: tuple[TensorEntry, ...] = Field(min_length=1, max_length=16)

    @property
    def plain_bytes(self) -> int:
        """Length before compression and sealing."""
        return self.tensors[-1].end


class Table(Options):
    """What the JSON of a frame says."""

    key: Hex64
    codec: Name
    codec_version: int = Field(ge=1, le=65535)
    compression: Literal["none", "zstd"]
    key_id: str = Field(pattern=r"^([0-9a-f]{16})?$")
    nonce: str = Field(pattern=r"^([0-9a-f]{48})?$")
    sections: tuple[SectionEntry, ...] = Field(max_length=1024)

    def encoded(self) -> bytes:
        """The one spelling that is accepted."""
        text = self.model_dump_json().encode()
        return text.ljust(-(-(FIXED_BYTES + len(text)) // ALIGNMENT) * ALIGNMENT - FIXED_BYTES)


@dataclass(frozen=True, slots=True)
class Header:
    """The checked beginning of a frame; turns the bytes of single sections into tensors."""

    table: Table
    lossy: bool
    header_bytes: int
    payload_bytes: int
    keys: FrameKeys | None

    @property
    def num_layers(self) -> int:
        """Sections of the frame."""
        return len(self.table.sections)

    @property
    def frame_bytes(self) -> int:
        """Length of the whole frame."""
        return self.header_bytes + self.payload_bytes

    def byte_range(self, first: int, last: int) -> tuple[int, int]:
        """Begin and end, within the frame, of layers `first` to `last` - 1, which are one run."""
        if not 0 <= first <= last <= self.num_layers:
            raise InputError(f"layers {first}..{last} are not within the frame's {self.num_layers}")
        sizes = [section.stored_bytes for section in self.table.sections[:last]]
        return self.header_bytes + sum(sizes[:first]), self.header_bytes + sum(sizes)

    def open_layers(self, first: int, last: int, data: Buffer) -> list[Arrays]:
        """Check the bytes of `byte_range(first, last)` and give the tensors of each layer.

        Returns:
            For each layer its tensors by name; read-only views of `data` unless it is compressed or sealed.

        Raises:
            IntegrityError: A length, digest or tag does not match.
        """
        begin, end = self.byte_range(first, last)
        view = memoryview(data).cast("B")
        if len(view) != end - begin:
            _damaged(self.table.key, f"layers {first}..{last} have {end - begin} bytes, found {len(view)}")
        opened, at = [], 0
        for index in range(first, last):
            stored = self.table.sections[index].stored_bytes
            opened.append(self._open(index, view[at : at + stored]))
            at += stored
        return opened

    def _open(self, index: int, data: memoryview) -> Arrays:
        section = self.table.sections[index]
        if not compare_digest(_digest([data]), section.digest):
            _damaged(self.table.key, f"the digest of layer {index} does not match its {len(data)} bytes")
        plain: Buffer = data if self.keys is None else self.keys.decrypt(index, data)
        if self.table.compression == "zstd":
            plain = decompress(plain, section.plain_bytes)
        return {tensor.name: _array(tensor, plain) for tensor in section.tensors}


def header_bytes(start: Buffer) -> int:
    """Length of a frame's header, from its first `FIXED_BYTES` bytes; `IntegrityError` if they are no frame's."""
    return FIXED_BYTES + _fixed(memoryview(start).cast("B"))[1]


def read_header(data: Buffer, *, key: str, sealer: Sealer | None = None) -> Header:
    """Check the beginning of a frame.

    Args:
        data: The frame, or at least its first `header_bytes` bytes.
        key: The key it was asked for by.
        sealer: Given if frames must be sealed; an unsealed one is then refused.

    Raises:
        IntegrityError: Anything about the header is not as it was written, or it belongs to another key.
    """
    view = memoryview(data).cast("B")
    flags, table_bytes, payload_bytes, digest = _fixed(view)
    end = FIXED_BYTES + table_bytes
    if len(view) < end:
        _damaged(key, f"the header has {end} bytes, found {len(view)}")
    if flags & ~(LOSSY | SEALED) or bool(flags & SEALED) != (sealer is not None):
        _damaged(key, f"flags {flags:#x} do not fit: it must be {'sealed' if sealer else 'unsealed'}, see key variable")
    table = _table(key, view[FIXED_BYTES:end])
    keys = sealer.frame_keys(table.key_id, bytes.fromhex(table.nonce), key) if sealer else None
    if not compare_digest(_header_digest(view[:32], view[FIXED_BYTES:end], keys), digest):
        _damaged(key, "the digest of the header does not match")
    if table.key != key:
        _damaged(key, f"the frame was written for key {table.key}")
    _check_sections(table, payload_bytes, keys)
    return Header(table, bool(flags & LOSSY), end, payload_bytes, keys)


def read_frame(data: Buffer, *, key: str, sealer: Sealer | None = None) -> tuple[Header, list[Arrays]]:
    """Check a whole frame; its header, and the tensors of every layer. Raises as `read_header` and `open_layers`."""
    header = read_header(data, key=key, sealer=sealer)
    payload = memoryview(data).cast("B")[header.header_bytes :]
    return header, header.open_layers(0, header.num_layers, payload)


def write_frame(
    sections: Sequence[Mapping[str, npt.NDArray[np.generic]]],
    *,
    key: str,
    codec: str,
    codec_version: int,
    lossy: bool,
    zstd_level: int | None = None,
    sealer: Sealer | None = None,
) -> list[Buffer]:
    """Frame the tensors of a chunk, one mapping per layer.

    Returns:
        The frame in parts, to be written one after the other; tensors are referred to, not copied, unless the frame is
        compressed or sealed, so they must not change before the parts are written.

    Raises:
        InputError: A name, dtype or size that no frame can hold.
        MissingExtraError: Compression or sealing is asked for and its package is missing.
    """
    nonce = sealer.new_nonce() if sealer else b""
    keys = sealer.frame_keys(sealer.key_id, nonce, check_key(key)) if sealer else None
    entries, payload = [], []
    for index, arrays in enumerate(sections):
        parts: list[Buffer] = [_bytes_of(array) for array in arrays.values()]
        if zstd_level is not None:
            parts = compress(parts, zstd_level)
        if keys is not None:
            parts = keys.encrypt(index, parts)
        entries.append((sum(len(part) for part in parts), _digest(parts), _entries(arrays)))
        payload += parts
    try:
        table = Table(
            key=key,
            codec=codec,
            codec_version=codec_version,
            compression="none" if zstd_level is None else "zstd",
            key_id=sealer.key_id if sealer else "",
            nonce=nonce.hex(),
            sections=tuple(SectionEntry(stored_bytes=n, digest=d, tensors=t) for n, d, t in entries),
        )
    except ValidationError as error:
        raise InputError(f"no frame can hold this: {_first(error)}") from error
    flags = (LOSSY if lossy else 0) | (SEALED if sealer else 0)
    return [_header(table, flags, sum(n for n, _, _ in entries), keys), *payload]


def _header(table: Table, flags: int, payload_bytes: int, keys: FrameKeys | None) -> bytes:
    text = table.encoded()
    if len(text) > MAX_TABLE_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise InputError(
            f"a frame has at most {MAX_TABLE_BYTES} bytes of table and {MAX_PAYLOAD_BYTES} of payload, "
            f"got {len(text)} and {payload_bytes}; use smaller chunks"
        )
    start = _FIXED.pack(MAGIC, VERSION, flags, len(text), payload_bytes, 0, b"")[:32]
    return start + _header_digest(memoryview(start), memoryview(text), keys) + text


def _fixed(view: memoryview) -> tuple[int, int, int, bytes]:
    """Flags, table length, payload length, digest."""
    if len(view) < FIXED_BYTES:
        raise IntegrityError(f"a frame has at least {FIXED_BYTES} bytes, found {len(view)}")
    magic, version, flags, table_bytes, payload_bytes, reserved, digest = _FIXED.unpack_from(view)
    if magic != MAGIC or version != VERSION or reserved:
        raise IntegrityError(f"not a frame of version {VERSION}: it begins with {bytes(view[:10])!r}")
    if table_bytes > MAX_TABLE_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise IntegrityError(f"impossible lengths: table {table_bytes} bytes, payload {payload_bytes} bytes")
    return flags, table_bytes, payload_bytes, digest


def _table(key: str, text: memoryview) -> Table:
    raw = bytes(text)
    try:
        table = Table.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise IntegrityError(f"frame {key}: its table is not valid: {_first(error)}") from error
    if table.encoded() != raw:
        _damaged(key, "its table is not in canonical form")
    return table


def _check_sections(table: Table, payload_bytes: int, keys: FrameKeys | None) -> None:
    """Tensors fill sections, sections fill the payload: no gap, no overlap, no surprise of size."""
    tag_bytes = TAG_BYTES if keys is not None else 0
    for index, section in enumerate(table.sections):
        begins = [0, *(tensor.end for tensor in section.tensors)]
        if not all(tensor.fits(begin) for tensor, begin in zip(section.tensors, begins, strict=False)):
            _damaged(table.key, f"tensors of layer {index} overlap, leave gaps or have the wrong length")
        if len({tensor.name for tensor in section.tensors}) < len(section.tensors):
            _damaged(table.key, f"layer {index} has two tensors of one name")
        if max(section.plain_bytes, section.stored_bytes) > MAX_SECTION_BYTES + tag_bytes:
            _damaged(table.key, f"layer {index} is larger than {MAX_SECTION_BYTES} bytes")
        if table.compression == "none" and section.stored_bytes != section.plain_bytes + tag_bytes:
            _damaged(table.key, f"layer {index} stores {section.stored_bytes} bytes for {section.plain_bytes}")
    if sum(section.stored_bytes for section in table.sections) != payload_bytes:
        _damaged(table.key, f"its sections do not add up to {payload_bytes} bytes")


def _digest(parts: Sequence[Buffer]) -> str:
    state = blake2b(digest_size=32, person=b"sparkv-section-1")
    for part in parts:
        state.update(part)
    return state.hexdigest()


def _header_digest(start: memoryview, text: memoryview, keys: FrameKeys | None) -> bytes:
    state = blake2b(start, digest_size=32, key=keys.mac_key if keys else b"", person=b"sparkv-header-v1")
    state.update(text)
    return state.digest()


def _entries(arrays: Mapping[str, npt.NDArray[np.generic]]) -> tuple[TensorEntry, ...]:
    entries, at = [], 0
    for name, array in arrays.items():
        if array.dtype.name not in _ITEM_BYTES:
            raise InputError(f"tensor {name!r}: dtype must be one of {', '.join(_ITEM_BYTES)}, got {array.dtype}")
        try:
            entry = TensorEntry(name=name, dtype=array.dtype.name, shape=array.shape, begin=at, end=at + array.nbytes)  # type: ignore[arg-type]
        except ValidationError as error:
            raise InputError(f"tensor {name!r}: {_first(error)}") from error
        entries.append(entry)
        at += array.nbytes
    return tuple(entries)


def _bytes_of(array: npt.NDArray[np.generic]) -> memoryview:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _array(tensor: TensorEntry, data: Buffer) -> npt.NDArray[np.generic]:
    flat = np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<"), prod(tensor.shape), tensor.begin)
    return flat.reshape(tensor.shape)


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or 'JSON'}: {problem['msg']}"


def _damaged(key: str, what: str) -> NoReturn:
    raise IntegrityError(f"frame {key}: {what}")
