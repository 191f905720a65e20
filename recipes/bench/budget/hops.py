"""Which gold query a planner could write by now, so that no gold leaks into a search.

A query may name something only if it stands in the question or in a text that was read.
"""

import re
from collections.abc import Collection, Sequence

from data import Hop, Passage, Question

from gainful.budget.text import content_terms, jaccard, normalise, tokens

_PLACEHOLDER = re.compile(r"#(\d+)")
_SAME_ENTITY = 0.3
"""Spellings of one name in two triples share at least this much of their words (ours)."""


def reachable_queries(question: Question, read: Sequence[Passage]) -> list[str]:
    """Queries for gold passages that were not read yet, the next one first; empty if none can be written."""
    known = {passage.id for passage in read}
    if not question.hops:
        return _by_title(question, known, read)
    visible = _padded(f"{question.text} " + " ".join(f"{passage.title} {passage.text}" for passage in read))
    missing = [hop for hop in question.hops if hop.passage_id not in known]
    written = (_written(hop, question.hops, known, visible) for hop in missing)
    return [query for query in written if query]


def bridge_answer(question: Question, known: Collection[str]) -> str:
    """The answer of the last hop whose passage was read, for HotpotQA the passage's title; empty if none was."""
    if question.hops:
        found = [hop.answer for hop in question.hops if hop.passage_id in known]
    else:
        gold = zip(question.gold_ids, question.gold_titles, strict=True)
        found = [title for name, title in gold if name in known]
    return found[-1] if found else ""


def _written(hop: Hop, hops: Sequence[Hop], known: Collection[str], visible: str) -> str:
    """The query of a hop, or nothing if it would name what was not found."""
    if not hop.subject:
        return _filled(hop.query, hops, known)
    if _stands(hop.subject, visible):
        return hop.query
    # the same entity under the name by which an earlier triple led to it
    for earlier in hops:
        if earlier.passage_id in known and _stands(earlier.answer, visible) and _same(earlier.answer, hop.subject):
            return hop.query.replace(hop.subject, earlier.answer)
    return ""


def _filled(query: str, hops: Sequence[Hop], known: Collection[str]) -> str:
    wanted = [int(number) - 1 for number in _PLACEHOLDER.findall(query)]
    if any(hops[place].passage_id not in known for place in wanted):
        return ""
    return _PLACEHOLDER.sub(lambda match: hops[int(match.group(1)) - 1].answer, query)


def _by_title(question: Question, known: Collection[str], read: Sequence[Passage]) -> list[str]:
    """A missing title if it stands somewhere, else the question's terms that no text matched."""
    gold = zip(question.gold_ids, question.gold_titles, strict=True)
    missing = [title for name, title in gold if name not in known]
    if not missing:
        return []
    text = " ".join(f"{passage.title} {passage.text}" for passage in read)
    visible = _padded(f"{question.text} {text}")
    titles = [title for title in missing if _stands(_plain(title), visible)]
    unmatched = content_terms(question.text) - set(tokens(text))
    rest = " ".join(word for word in dict.fromkeys(tokens(question.text)) if word in unmatched)
    return titles or [rest or question.text]


def _plain(title: str) -> str:
    """A title without what only tells it from others, in parentheses."""
    return title.split(" (")[0]


def _padded(text: str) -> str:
    return f" {normalise(text)} "


def _stands(name: str, padded: str) -> bool:
    wanted = normalise(name)
    return bool(wanted) and f" {wanted} " in padded


def _same(one: str, other: str) -> bool:
    return jaccard(tokens(one), tokens(other)) >= _SAME_ENTITY
