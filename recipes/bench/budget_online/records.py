"""The lines of a store."""

import hashlib
import json
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from gainful.config import Options


class Head(Options):
    """The first line: whose answers these are."""

    kind: Literal["head"] = "head"
    format: Literal[1] = 1
    model: str
    api_base: str


class Choice(Options):
    """What one command ran; `replay` repeats the last one."""

    kind: Literal["choice"] = "choice"
    sets: tuple[str, ...]
    split: str
    number: int | None
    budgets: tuple[str, ...]
    methods: tuple[str, ...]


class Asked(Options):
    """A request that is about to be sent, and the most that it can cost."""

    kind: Literal["asked"] = "asked"
    attempt: int
    key: str
    micros: int = Field(ge=0)
    body: dict[str, Any]


class Answered(Options):
    """The response to an attempt, and what it cost."""

    kind: Literal["answered"] = "answered"
    attempt: int
    micros: int = Field(ge=0)
    seconds: float
    at: str
    """UTC."""
    response: dict[str, Any]


class Failed(Options):
    """An attempt without a response, and what it is taken to have cost."""

    kind: Literal["failed"] = "failed"
    attempt: int
    micros: int = Field(ge=0)
    what: str


Line = Annotated[Head | Choice | Asked | Answered | Failed, Field(discriminator="kind")]
LINE: TypeAdapter[Line] = TypeAdapter(Line)


def content_hash(value: Any) -> str:
    """SHA-256 of the value as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
