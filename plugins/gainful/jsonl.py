"""Files of one JSON object a line, read one at a time and checked before anything is done with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gainful.errors import InputError

__all__ = ["MAX_LINE_BYTES", "Record", "read_lines"]

MAX_LINE_BYTES = 16 * 2**20


class Record(BaseModel):
    """Base of all records: frozen, unknown keys refused, numbers finite and of the type they must have."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


RecordT = TypeVar("RecordT", bound=Record)


def read_lines(
    path: Path, file: BinaryIO, record: type[RecordT], *, end: int | None = None
) -> Iterator[tuple[int, RecordT]]:
    """Line number, from 1, and record, up to byte `end`; one line is in memory at a time. Blank lines are passed over.

    Raises:
        InputError: A line is too long or no such record; names the file, the line and what is wrong.
    """
    number = 0
    while (end is None or file.tell() < end) and (line := file.readline(MAX_LINE_BYTES + 1)):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise InputError(
                f"{path}, line {number}: expected at most {MAX_LINE_BYTES} bytes, got more; split or cut it"
            )
        if line.strip():
            yield number, _parse(record, line, f"{path}, line {number}")


def _parse(record: type[RecordT], line: bytes, where: str) -> RecordT:
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in problem["loc"][:8])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {key + ': ' if key else ''}{message[:1].lower()}{message[1:300]}{more}") from None
