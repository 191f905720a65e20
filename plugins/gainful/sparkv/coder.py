"""A chunk of a prompt's KV cache to the frame that is stored under its key, and back.

The chunk is a tensor [layers, blocks, block_bytes] of bytes; a section of the frame is one layer of it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gainful.errors import IntegrityError
from gainful.sparkv.codec import Codec
from gainful.sparkv.frame import Header, read_frame, read_header, write_frame
from gainful.sparkv.sealing import Buffer, Sealer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ChunkCoder"]


class ChunkCoder:
    """Codec, compression and sealing of one engine; immutable, so threads may share it."""

    def __init__(
        self, codec: Codec, *, num_layers: int, zstd_level: int | None = None, sealer: Sealer | None = None
    ) -> None:
        self.codec = codec
        self.num_layers = num_layers
        self._zstd_level = zstd_level
        self._sealer = sealer

    def encode(self, key: str, blocks: "Tensor") -> list[Buffer]:
        """Parts of the frame; some refer to `blocks`, which must not change before they are written.

        Args:
            key: What the frame will be stored under.
            blocks: [num_layers, num_blocks, block_bytes] uint8, on the CPU.

        Raises:
            InputError: Values that the codec refuses.
        """
        return write_frame(
            [self.codec.encode(layer) for layer in blocks],
            key=key,
            codec=self.codec.name,
            codec_version=self.codec.version,
            lossy=self.codec.lossy,
            zstd_level=self._zstd_level,
            sealer=self._sealer,
        )

    def decode(self, key: str, frame: Buffer, out: "Tensor") -> None:
        """Verify a whole frame and write its layers into `out`, of the shape that `encode` takes.

        Raises:
            IntegrityError: The frame is damaged, another key's, or not of this codec and number of layers.
        """
        header, sections = read_frame(frame, key=key, sealer=self._sealer)
        self._check(header)
        for section, layer in zip(sections, out, strict=True):
            self.codec.decode(section, layer)

    def open(self, key: str, start: Buffer) -> Header:
        """The verified header of a frame whose layers are read one by one; errors as in `decode`."""
        header = read_header(start, key=key, sealer=self._sealer)
        self._check(header)
        return header

    def decode_layers(self, header: Header, first: int, data: Buffer, out: Sequence["Tensor"]) -> None:
        """Layers from `first` on, as many as `out` has, from the bytes of their range; errors as in `decode`."""
        for section, layer in zip(header.open_layers(first, first + len(out), data), out, strict=True):
            self.codec.decode(section, layer)

    def _check(self, header: Header) -> None:
        table, codec = header.table, self.codec
        found = (table.codec, table.codec_version, header.lossy, header.num_layers)
        expected = (codec.name, codec.version, codec.lossy, self.num_layers)
        if found != expected:
            raise IntegrityError(f"frame {table.key}: codec, version, lossy and layers are {expected}, found {found}")
