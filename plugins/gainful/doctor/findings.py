"""What an examination says, and how an adapter says it across processes."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Finding", "State", "answer", "read_answer"]

State = Literal["ok", "note", "problem"]
_MARKER = "gainful-doctor:"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    detail: str
    remedy: str = ""
    """The command that mends it; empty if nothing is to be mended."""


def answer(findings: Iterable[Finding]) -> None:
    """Print the findings of an adapter's `doctor` module for `examine_host` to read."""
    print(_MARKER + json.dumps([asdict(finding) for finding in findings]))  # noqa: T201 (the channel)


def read_answer(text: str) -> list[Finding] | None:
    """What `answer` printed among other output; None if it did not."""
    lines = [line for line in text.splitlines() if line.startswith(_MARKER)]
    return [Finding(**finding) for finding in json.loads(lines[-1].removeprefix(_MARKER))] if lines else None
