"""Documents, failed retrievals, and who finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol, TypeAlias, get_args

from gainful.errors import InputError

__all__ = ["MAX_QUERY_CHARS", "Doc", "Reason", "RetrievalFailed", "Retrieved", "Retriever", "check_query", "render"]

MAX_QUERY_CHARS = 2_000
"""Of one query. Ours: a policy writes it, and its length decides what a search costs."""

Reason = Literal["timeout", "call_failed", "bad_reply", "bad_query"]
"""Why a retrieval failed."""


@dataclass(frozen=True, slots=True)
class Doc:
    """One document that matches a query."""

    id: str
    title: str
    text: str
    score: float | None
    """The higher the better; None if the retriever gave none."""


@dataclass(frozen=True, slots=True)
class RetrievalFailed:
    """No documents, because the search itself failed. It is no empty list: asking whether it is true raises."""

    reason: Reason
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in get_args(Reason):
            raise InputError(f"RetrievalFailed: unknown reason {self.reason!r}; known: {', '.join(get_args(Reason))}")

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"a failed retrieval ({self.reason}) is no list of documents; test it with isinstance(x, RetrievalFailed)"
        )


Retrieved: TypeAlias = list[Doc] | RetrievalFailed
"""What one query brought: documents, best first, perhaps none; or that the search failed."""


class Retriever(Protocol):
    """Finds documents."""

    async def retrieve(self, queries: Sequence[str]) -> list[Retrieved]:
        """One result per query, in order. Many calls may be under way at once; a failure is a value, no exception."""


_SHOWN = {
    "timeout": "the search took too long",
    "call_failed": "the search is not available",
    "bad_reply": "the search is not available",
    "bad_query": f"a query must hold 1 to {MAX_QUERY_CHARS} characters",
}


def render(found: Retrieved) -> str:
    """What a policy reads: a line `Doc 1(Title: ...) text` each, or that nothing matches, or that the search failed."""
    if isinstance(found, RetrievalFailed):
        return f"Search failed: {_SHOWN[found.reason]}."
    lines = [f"Doc {i}(Title: {doc.title}) {doc.text}" for i, doc in enumerate(found, 1)]
    return "\n".join(lines) if lines else "No document matches."


def check_query(query: str) -> RetrievalFailed | None:
    """A failure if nobody should search for `query`: it is blank or longer than `MAX_QUERY_CHARS`."""
    if not query.strip():
        return RetrievalFailed("bad_query", "the query is blank")
    if len(query) > MAX_QUERY_CHARS:
        return RetrievalFailed("bad_query", f"expected at most {MAX_QUERY_CHARS} characters, got {len(query)}")
    return None
