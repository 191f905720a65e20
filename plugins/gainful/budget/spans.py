"""Answer types: what kind of span a question asks for, and the spans of a kind in a text."""

import re
from typing import Literal

from gainful.budget.names import names
from gainful.budget.text import occurs, tokens
from gainful.budget.words import AUXILIARIES

__all__ = ["AnswerType", "answer_type", "has_type", "options_of", "spans_of"]

AnswerType = Literal["yes_no", "choice", "date", "year", "number", "name", "other"]

_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_YEAR = r"\b(?:1\d{3}|20\d{2})\b"
_PATTERNS = {
    "date": re.compile(rf"\b\d{{1,2}} {_MONTH} \d{{3,4}}\b|\b{_MONTH} \d{{1,2}}, \d{{3,4}}\b|{_YEAR}"),
    "year": re.compile(_YEAR),
    "number": re.compile(r"\b\d{1,3}(?:,\d{3})+\b|\b\d{1,15}(?:\.\d{1,9})?\b"),
}
_LEADS: tuple[tuple[AnswerType, re.Pattern[str]], ...] = (
    ("year", re.compile(r"\b(?:what|which) year\b")),
    ("number", re.compile(r"\bhow (?:many|much|old|long|far|tall|high|large|big)\b|\bwhat (?:number|population)\b")),
    ("date", re.compile(r"\bwhen\b|\bwhat (?:is|was) the (?:birth ?)?date\b|\b(?:what|which) (?:date|day)\b")),
    ("name", re.compile(r"\bwho(?:m|se)?\b|\bwhere\b|\bwhich\b|\bwhat (?:is|was) the (?:full )?name\b")),
)
_BEFORE_OPTIONS = re.compile(r"[,:?]|\b(?:between|either)\b")


def options_of(question: str) -> tuple[str, str] | None:
    """The two options of a question that ends in "X or Y": the last names around the "or", or what stands there."""
    left, found, right = question.strip().rstrip("?").rpartition(" or ")
    left = _BEFORE_OPTIONS.split(left.rstrip(", "))[-1].strip()
    right = right.strip()
    if not found or _BEFORE_OPTIONS.search(right):
        return None
    left_names, right_names = names(left), names(right)
    pair = (left_names[-1] if left_names else left, right_names[0] if right_names else right)
    return pair if tokens(pair[0]) and tokens(pair[1]) and pair[0] != pair[1] else None


def answer_type(question: str) -> AnswerType:
    """The kind of answer asked for, from the form of the question alone."""
    if options_of(question):
        return "choice"
    words = tokens(question)
    if words and words[0] in AUXILIARIES:
        return "yes_no"
    text = " ".join(words)
    return next((kind for kind, lead in _LEADS if lead.search(text)), "other")


def spans_of(kind: AnswerType, text: str) -> list[str]:
    """Distinct spans of a kind, in order; none for kinds that have no form of their own."""
    if kind == "name":
        return names(text)
    pattern = _PATTERNS.get(kind)
    return list(dict.fromkeys(match.group() for match in pattern.finditer(text))) if pattern else []


def has_type(kind: AnswerType, text: str, question: str) -> bool:
    """True if `text` holds an answer of the kind: for yes/no either word, for a choice one option, else any text."""
    if kind == "yes_no":
        return bool({"yes", "no"} & set(tokens(text)))
    if kind == "choice":
        return any(occurs(option, text) for option in options_of(question) or ())
    return bool(spans_of(kind, text)) if kind != "other" else bool(tokens(text))
