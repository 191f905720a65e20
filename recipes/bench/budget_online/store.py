"""What was asked of a model and what came back, one JSON object a line, appended and never changed.

A request is written before it is sent and its response after. So whatever ends a run, the file knows what may have been
billed: a request without an end counts in full. No header of a request is ever written, and so no key.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from records import LINE, Answered, Asked, Choice, Failed, Head, Line, content_hash

from gainful.errors import IntegrityError, StoreError

MAX_LINE_BYTES = 16 * 2**20


class Store:
    """The file and an index of it. All methods may be called from several threads; one process has it at a time.

    Args:
        file: Made if it is not there and `head` is given.
        head: Model and server that are about to be asked; None opens what is there for reading only.

    Raises:
        StoreError: Not there, in use by another process, or of another model or server.
        IntegrityError: A line other than a half-written last one is damaged.
    """

    def __init__(self, file: Path, head: Head | None = None) -> None:
        self.path, self._lock = file, threading.Lock()
        if head is None and not file.is_file():
            raise StoreError(f"store {file}: expected a file of requests and responses, found none; make it with `run`")
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file.open("rb" if head is None else "a+b")
        _hold(self._file, file, shared=head is None)
        self._asked: dict[int, Asked] = {}
        self._answers: dict[str, Answered] = {}
        self.choice: Choice | None = None
        self.spent_micros = 0
        lines = list(self._lines())
        self.head = self._first(lines, head)
        for number, line in enumerate(lines[1:], start=2):
            self._take(line, number)
        self.num_attempts = max(self._asked, default=0)

    def answer(self, key: str) -> Answered | None:
        """What was once paid for."""
        with self._lock:
            return self._answers.get(key)

    def ask(self, key: str, body: dict[str, Any], micros: int) -> int:
        """Write down a request before it is sent; returns the number of the attempt."""
        with self._lock:
            self.num_attempts += 1
            self._append(Asked(attempt=self.num_attempts, key=key, micros=micros, body=body))
            return self.num_attempts

    def end(self, line: Answered | Failed) -> None:
        """Write down what became of an attempt."""
        with self._lock:
            self._append(line)

    def begin(self, choice: Choice) -> None:
        """Write down what a command is about to run."""
        with self._lock:
            self._append(choice)

    @property
    def num_answers(self) -> int:
        return len(self._answers)

    @property
    def dates(self) -> str:
        """Of the first and the last response."""
        days = sorted({one.at[:10] for one in self._answers.values()})
        return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "nothing asked yet"

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: Line) -> None:
        plain = line.model_dump(mode="json")
        self._file.write(json.dumps({**plain, "digest": content_hash(plain)}).encode() + b"\n")
        self._file.flush()
        if not isinstance(line, Head):
            self._take(line, 0)

    def _lines(self) -> Iterator[Line]:
        """All whole lines; a half-written last one is cut off, since whoever wrote it was stopped."""
        self._file.seek(0)
        whole, number = 0, 0
        while raw := self._file.readline(MAX_LINE_BYTES):
            number += 1
            if not raw.endswith(b"\n"):
                if len(raw) == MAX_LINE_BYTES:
                    raise self._damaged(number, f"expected at most {MAX_LINE_BYTES:,} bytes, found more")
                break
            whole += len(raw)
            yield self._parsed(raw, number)
        if self._file.writable():
            self._file.truncate(whole)
            self._file.seek(0, os.SEEK_END)

    def _parsed(self, raw: bytes, number: int) -> Line:
        try:
            plain = json.loads(raw)
            digest = plain.pop("digest")
            line = LINE.validate_python(plain)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise self._damaged(number, f"expected one of our records, found what is none ({_brief(error)})") from error
        if content_hash(plain) != digest:
            raise self._damaged(number, "its digest does not match what stands there")
        return line

    def _first(self, lines: list[Line], head: Head | None) -> Head:
        if not lines and head is not None:
            self._append(head)
            return head
        first = lines[0] if lines else None
        if not isinstance(first, Head):
            raise self._damaged(1, "expected a head that names model and server, found none")
        if head is not None and head != first:
            raise StoreError(
                f"store {self.path}: it holds answers of {first.model} at {first.api_base}, asked for {head.model} at "
                f"{head.api_base}; pass another --store"
            )
        return first

    def _take(self, line: Line, number: int) -> None:
        """Into the index. Until it has an end, an attempt counts in full."""
        if isinstance(line, Choice):
            self.choice = line
        elif isinstance(line, Asked):
            if content_hash(line.body) != line.key:
                raise self._damaged(number, "the key is not the hash of its request")
            self._asked[line.attempt] = line
            self.spent_micros += line.micros
        elif isinstance(line, Answered | Failed):
            asked = self._asked.get(line.attempt)
            if asked is None:
                raise self._damaged(number, f"attempt {line.attempt} ends and was never begun")
            self.spent_micros += line.micros - asked.micros
            if isinstance(line, Answered):
                self._answers[asked.key] = line
        else:
            raise self._damaged(number, "a second head")

    def _damaged(self, number: int, what: str) -> IntegrityError:
        return IntegrityError(f"store {self.path}, line {number}: {what}; restore the file, or remove it and pay again")


def _hold(file: Any, path: Path, *, shared: bool) -> None:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StoreError(f"store {path}: another process has it; wait for its end or pass another --store") from error


def _brief(error: Exception) -> str:
    return type(error).__name__
