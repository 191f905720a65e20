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

from gainful.sparkv.frame.reading import Header, header_bytes, read_frame, read_header
from gainful.sparkv.frame.start import FIXED_BYTES, MAX_HEADER_BYTES
from gainful.sparkv.frame.table import SectionEntry, Table, TensorEntry
from gainful.sparkv.frame.writing import write_frame

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
