"""What could be searched next, without asking a model."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gainful.budget.passages import PassageIndex
from gainful.budget.text import normalise, tokens

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["query_texts"]


def query_texts(state: "SearchState", index: Mapping[str, PassageIndex]) -> Iterator[tuple[str, str]]:
    """Purpose and text of each query, the preferred first: the proposed sub-question, the question, a free bridge."""
    if state.pending:
        yield "pending", state.pending
    yield "question", state.question
    bridge = _bridge_query(state, index)
    if bridge:
        yield "bridge", bridge


def _bridge_query(state: "SearchState", index: Mapping[str, PassageIndex]) -> str:
    """Terms of the question that no passage matches, with the best name that was found and not yet searched.

    The best name stands in the most passages, then in the earliest (ours). Without evidence there is none.
    """
    best = _best_name(state, index)
    found = {word for passage in index.values() for word in passage.words}
    unmatched = [word for word in dict.fromkeys(tokens(state.question)) if word in state.form.terms - found]
    return " ".join([best, *unmatched]) if best else ""


def _best_name(state: "SearchState", index: Mapping[str, PassageIndex]) -> str:
    searched = [set(tokens(state.question)), *(set(query.terms) for query in state.queries)]
    counts: dict[str, int] = {}
    spelling: dict[str, str] = {}
    for passage in index.values():
        for name in passage.names:
            key = normalise(name)
            counts[key] = counts.get(key, 0) + 1
            spelling.setdefault(key, name)
    fresh = [key for key in counts if key and not any(set(key.split()) <= terms for terms in searched)]
    return spelling[max(fresh, key=lambda key: counts[key])] if fresh else ""
