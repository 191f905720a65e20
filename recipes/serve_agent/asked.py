"""The body of a request, checked field by field before anything is spent on it."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["MAX_BODY_BYTES", "MAX_QUESTION_CHARS", "Asked", "BadRequestError", "read_asked"]

MAX_BODY_BYTES = 64 * 1024
MAX_QUESTION_CHARS = 4_000


class BadRequestError(Exception):
    """What was sent cannot be served; the text says why, the status is for HTTP."""

    def __init__(self, why: str, status: int = 422) -> None:
        super().__init__(why)
        self.status = status


class Asked(BaseModel):
    """What a user sends."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_CHARS, pattern=r"\S")]
    agent: Annotated[str, Field(max_length=64)] | None = None
    """None takes the service's first one."""
    budget: Annotated[str, Field(max_length=64)] | dict[str, Any] | None = None
    """As `Budget.parse` reads it; None asks for the default."""


def read_asked(body: bytes) -> Asked:
    """The checked request.

    Raises:
        BadRequestError: 400 if it is no JSON, 422 if it is no request; never repeats what was sent.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is no JSON", 400) from None
    try:
        return Asked.model_validate(parsed)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, problem["loc"])) or "body"
        raise BadRequestError(f"{where}: {problem['msg'][:300]}") from None
