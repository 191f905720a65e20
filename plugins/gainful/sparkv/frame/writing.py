"""Writing frames: tensors of one layer after the other, then the table that lists them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from gainful.errors import InputError
from gainful.sparkv.compression import compress
from gainful.sparkv.frame.start import LOSSY, MAX_PAYLOAD_BYTES, MAX_TABLE_BYTES, SEALED, pack_start
from gainful.sparkv.frame.table import ITEM_BYTES, SectionEntry, Table, TensorEntry, first_problem, section_digest
from gainful.sparkv.keys import check_key
from gainful.sparkv.sealing import Buffer, FrameKeys, Sealer

__all__ = ["write_frame"]


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
        entry, parts = _section(index, arrays, zstd_level, keys)
        entries.append(entry)
        payload += parts
    with _refusing("no frame can hold this"):
        table = Table(
            key=key,
            codec=codec,
            codec_version=codec_version,
            compression="none" if zstd_level is None else "zstd",
            key_id=sealer.key_id if sealer else "",
            nonce=nonce.hex(),
            sections=tuple(entries),
        )
    flags = (LOSSY if lossy else 0) | (SEALED if sealer else 0)
    return [_header(table, flags, sum(entry.stored_bytes for entry in entries), keys), *payload]


def _section(
    index: int, arrays: Mapping[str, npt.NDArray[np.generic]], zstd_level: int | None, keys: FrameKeys | None
) -> tuple[SectionEntry, list[Buffer]]:
    """What the table says of a layer, and its bytes."""
    parts: list[Buffer] = [_bytes_of(array) for array in arrays.values()]
    if zstd_level is not None:
        parts = compress(parts, zstd_level)
    if keys is not None:
        parts = keys.encrypt(index, parts)
    digest, tensors = section_digest(parts), _tensors(arrays)
    with _refusing("no frame can hold this"):
        return SectionEntry(stored_bytes=sum(len(part) for part in parts), digest=digest, tensors=tensors), parts


def _tensors(arrays: Mapping[str, npt.NDArray[np.generic]]) -> tuple[TensorEntry, ...]:
    entries, at = [], 0
    for name, array in arrays.items():
        if array.dtype.name not in ITEM_BYTES:
            raise InputError(f"tensor {name!r}: dtype must be one of {', '.join(ITEM_BYTES)}, got {array.dtype}")
        with _refusing(f"tensor {name!r}"):
            entry = TensorEntry(name=name, dtype=array.dtype.name, shape=array.shape, begin=at, end=at + array.nbytes)  # type: ignore[arg-type]
        entries.append(entry)
        at += array.nbytes
    return tuple(entries)


def _header(table: Table, flags: int, payload_bytes: int, keys: FrameKeys | None) -> bytes:
    text = table.encoded()
    if len(text) > MAX_TABLE_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise InputError(
            f"a frame has at most {MAX_TABLE_BYTES} bytes of table and {MAX_PAYLOAD_BYTES} of payload, "
            f"got {len(text)} and {payload_bytes}; use smaller chunks"
        )
    return pack_start(flags, text, payload_bytes, keys) + text


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """What a record of the table does not take is the caller's mistake."""
    try:
        yield
    except ValidationError as error:
        raise InputError(f"{what}: {first_problem(error)}") from error


def _bytes_of(array: npt.NDArray[np.generic]) -> memoryview:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data
