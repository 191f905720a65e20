"""Reading frames: nothing of one is believed before it was checked."""

from dataclasses import dataclass
from hmac import compare_digest
from math import prod

import numpy as np
import numpy.typing as npt

from gainful.errors import InputError
from gainful.sparkv.compression import decompress
from gainful.sparkv.frame.start import FIXED_BYTES, LOSSY, SEALED, header_digest, unpack_start
from gainful.sparkv.frame.table import Table, TensorEntry, check_sections, damaged, parse_table, section_digest
from gainful.sparkv.sealing import Buffer, FrameKeys, Sealer

__all__ = ["Header", "header_bytes", "read_frame", "read_header"]

Arrays = dict[str, npt.NDArray[np.generic]]


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
            damaged(self.table.key, f"layers {first}..{last} have {end - begin} bytes, found {len(view)}")
        opened, at = [], 0
        for index in range(first, last):
            stored = self.table.sections[index].stored_bytes
            opened.append(self._open(index, view[at : at + stored]))
            at += stored
        return opened

    def _open(self, index: int, data: memoryview) -> Arrays:
        section = self.table.sections[index]
        if not compare_digest(section_digest([data]), section.digest):
            damaged(self.table.key, f"the digest of layer {index} does not match its {len(data)} bytes")
        plain: Buffer = data if self.keys is None else self.keys.decrypt(index, data)
        if self.table.compression == "zstd":
            plain = decompress(plain, section.plain_bytes)
        return {tensor.name: _array(tensor, plain) for tensor in section.tensors}


def header_bytes(start: Buffer) -> int:
    """Length of a frame's header, from its first `FIXED_BYTES` bytes; `IntegrityError` if they are no frame's."""
    return FIXED_BYTES + unpack_start(memoryview(start).cast("B"))[1]


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
    flags, table_bytes, payload_bytes, digest = unpack_start(view)
    end = FIXED_BYTES + table_bytes
    if len(view) < end:
        damaged(key, f"the header has {end} bytes, found {len(view)}")
    if flags & ~(LOSSY | SEALED) or bool(flags & SEALED) != (sealer is not None):
        damaged(key, f"flags {flags:#x} do not fit: it must be {'sealed' if sealer else 'unsealed'}, see key variable")
    table = parse_table(key, view[FIXED_BYTES:end])
    keys = sealer.frame_keys(table.key_id, bytes.fromhex(table.nonce), key) if sealer else None
    if not compare_digest(header_digest(view[:32], view[FIXED_BYTES:end], keys), digest):
        damaged(key, "the digest of the header does not match")
    if table.key != key:
        damaged(key, f"the frame was written for key {table.key}")
    check_sections(table, payload_bytes, sealed=keys is not None)
    return Header(table, bool(flags & LOSSY), end, payload_bytes, keys)


def read_frame(data: Buffer, *, key: str, sealer: Sealer | None = None) -> tuple[Header, list[Arrays]]:
    """Check a whole frame; its header, and the tensors of every layer. Raises as `read_header` and `open_layers`."""
    header = read_header(data, key=key, sealer=sealer)
    payload = memoryview(data).cast("B")[header.header_bytes :]
    return header, header.open_layers(0, header.num_layers, payload)


def _array(tensor: TensorEntry, data: Buffer) -> npt.NDArray[np.generic]:
    flat = np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<"), prod(tensor.shape), tensor.begin)
    return flat.reshape(tensor.shape)
