"""What is searched next, without asking a model.

A search is the scarce thing, so one query asks for everything that is open: the sub-question that a model proposed if
there is one, names in the passages that lead on, and the words of the question that no passage matched. Ours.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gainful.budget.names import names
from gainful.budget.passages import PassageIndex
from gainful.budget.text import content_terms, normalise, share_covered, tokens

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["is_grounded", "query_texts"]


def query_texts(state: "SearchState", index: Mapping[str, PassageIndex]) -> Iterator[tuple[str, str]]:
    """Purpose and text of each query, the preferred first: the proposed sub-question, the question, a free bridge."""
    if state.pending:
        yield "pending", _enriched(state.pending, state, index)
    yield "question", state.question
    bridge = _joined(_bridges(state, index, state.config.bridges_per_anchor), unmatched_terms(state, index))
    if index and bridge:
        yield "bridge", bridge


def is_grounded(query: str, state: "SearchState") -> bool:
    """Enough of what the query names stands in the question or in the evidence; of all its words if it names nothing.

    A query about something that nobody mentioned is a guess.
    """
    known = set(tokens(state.question)).union(*(passage.words for passage in state.index.values()))
    terms = content_terms(" ".join(names(query)) or query)
    return share_covered(dict.fromkeys(terms, 1.0), known) >= state.config.grounded_from


def unmatched_terms(state: "SearchState", index: Mapping[str, PassageIndex]) -> list[str]:
    """Content words of the question that stand in no passage, in order."""
    missing = state.form.terms.difference(*(passage.words for passage in index.values()))
    return [word for word in dict.fromkeys(tokens(state.question)) if word in missing]


def _enriched(query: str, state: "SearchState", index: Mapping[str, PassageIndex]) -> str:
    """The query with its names said twice, the best name of each anchor, and the unmatched terms.

    Said twice, what the sub-question asks for weighs more in a lexical index than what is asked beside it.
    """
    if not index:
        return query
    known = set(tokens(query))
    beside = [*_bridges(state, index, 1), *unmatched_terms(state, index)]
    return _joined([query, *names(query)], (part for part in beside if not known.issuperset(tokens(part))))


def _bridges(state: "SearchState", index: Mapping[str, PassageIndex], number: int) -> list[str]:
    """The best names of each anchor that are neither the topic of a passage nor part of an earlier query.

    Where the question names the topic of no passage, the best ranked one is the anchor.
    """
    anchors = [passage for passage in index.values() if passage.is_anchor] or list(index.values())[:1]
    read = {passage.topic for passage in index.values()}
    fresh = [[name for name in anchor.bridges if _is_fresh(name, read, state)][:number] for anchor in anchors]
    return list(dict.fromkeys(name for of_one in fresh for name in of_one))


def _is_fresh(name: str, read: set[str], state: "SearchState") -> bool:
    words = tokens(name)
    return normalise(name) not in read and not any(set(query.terms).issuperset(words) for query in state.queries)


def _joined(first: Iterable[str], second: Iterable[str]) -> str:
    return " ".join([*first, *dict.fromkeys(second)])
