"""A corpus: one JSON object a line, {"id", "title", "text"}, all of it checked before a word is indexed."""

from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gainful.errors import InputError
from gainful.jsonl import Record, read_lines

__all__ = ["Entry", "digest_of", "read_corpus"]

MAX_DOCS = 10_000_000
"""Ours: what one process may hold."""
_CHUNK_BYTES = 2**20


class Entry(Record):
    """One line of a corpus."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    title: Annotated[str, Field(max_length=1_000)] = ""
    text: Annotated[str, Field(max_length=100_000)]


def read_corpus(path: Path) -> list[Entry]:
    """All entries, sorted by id, so that a position in the list is a rank among equals.

    Raises:
        InputError: A line is no entry, an id comes twice, or there are no or too many entries; names file and line.
    """
    lines: dict[str, int] = {}
    entries: list[Entry] = []
    with path.open("rb") as file:
        for number, entry in read_lines(path, file, Entry):
            if (first := lines.setdefault(entry.id, number)) != number:
                raise InputError(f"{path}, line {number}: id {entry.id!r} must be unique, and is in line {first} too")
            if len(entries) == MAX_DOCS:
                raise InputError(f"{path}, line {number}: expected at most {MAX_DOCS} entries; serve it over http")
            entries.append(entry)
    if not entries:
        raise InputError(f"{path}: expected one JSON object a line, found none")
    return sorted(entries, key=attrgetter("id"))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
