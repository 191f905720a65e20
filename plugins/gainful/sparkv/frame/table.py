"""The table of a frame: what it lists, the one spelling of it that is accepted, and what it must add up to."""

from collections.abc import Sequence
from hashlib import blake2b
from math import prod
from typing import Annotated, Literal, NoReturn

from pydantic import Field, ValidationError

from gainful.config import Options
from gainful.errors import IntegrityError
from gainful.sparkv.frame.start import FIXED_BYTES, MAX_PAYLOAD_BYTES
from gainful.sparkv.sealing import TAG_BYTES, Buffer

__all__ = [
    "ITEM_BYTES",
    "SectionEntry",
    "Table",
    "TensorEntry",
    "check_sections",
    "damaged",
    "first_problem",
    "parse_table",
    "section_digest",
]

ALIGNMENT = 64
MAX_SECTION_BYTES = 1 << 30
ITEM_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "float16": 2, "float32": 4}

Dtype = Literal["uint8", "int8", "uint16", "float16", "float32"]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Size = Annotated[int, Field(ge=0, le=MAX_PAYLOAD_BYTES)]


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
        return self.begin == begin and self.end - begin == prod(self.shape) * ITEM_BYTES[self.dtype]


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


def parse_table(key: str, text: memoryview) -> Table:
    """The table of a header; `IntegrityError` unless it is spelled as `Table.encoded` does."""
    raw = bytes(text)
    try:
        table = Table.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise IntegrityError(f"frame {key}: its table is not valid: {first_problem(error)}") from error
    if table.encoded() != raw:
        damaged(key, "its table is not in canonical form")
    return table


def check_sections(table: Table, payload_bytes: int, *, sealed: bool) -> None:
    """Tensors fill sections, sections fill the payload: no gap, no overlap, no surprise of size."""
    tag_bytes = TAG_BYTES if sealed else 0
    for index, section in enumerate(table.sections):
        begins = [0, *(tensor.end for tensor in section.tensors)]
        if not all(tensor.fits(begin) for tensor, begin in zip(section.tensors, begins, strict=False)):
            damaged(table.key, f"tensors of layer {index} overlap, leave gaps or have the wrong length")
        if len({tensor.name for tensor in section.tensors}) < len(section.tensors):
            damaged(table.key, f"layer {index} has two tensors of one name")
        if max(section.plain_bytes, section.stored_bytes) > MAX_SECTION_BYTES + tag_bytes:
            damaged(table.key, f"layer {index} is larger than {MAX_SECTION_BYTES} bytes")
        if table.compression == "none" and section.stored_bytes != section.plain_bytes + tag_bytes:
            damaged(table.key, f"layer {index} stores {section.stored_bytes} bytes for {section.plain_bytes}")
    if sum(section.stored_bytes for section in table.sections) != payload_bytes:
        damaged(table.key, f"its sections do not add up to {payload_bytes} bytes")


def section_digest(parts: Sequence[Buffer]) -> str:
    """BLAKE2b of a section as it is stored."""
    state = blake2b(digest_size=32, person=b"sparkv-section-1")
    for part in parts:
        state.update(part)
    return state.hexdigest()


def first_problem(error: ValidationError) -> str:
    """Where and what, without the input."""
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or 'JSON'}: {problem['msg']}"


def damaged(key: str, what: str) -> NoReturn:
    """Raise the one error of reading."""
    raise IntegrityError(f"frame {key}: {what}")
