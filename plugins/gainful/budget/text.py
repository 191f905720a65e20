"""Words of questions, queries and passages. Plain string work: no model, no language resource, linear time."""

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping

from gainful.budget.words import ARTICLES, FUNCTION_WORDS

__all__ = ["content_terms", "idf", "jaccard", "normalise", "occurs", "share_covered", "tokens"]

_WORD = re.compile(r"[^\W_]+")


def tokens(text: str) -> list[str]:
    """Words and numbers in lower case, compatibility forms unified, in order."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def normalise(text: str) -> str:
    """For comparing answers: lower case, without punctuation and articles, single spaces."""
    return " ".join(word for word in tokens(text) if word not in ARTICLES)


def content_terms(text: str) -> frozenset[str]:
    """Distinct words that carry meaning; all words if none does."""
    words = frozenset(tokens(text))
    return words - FUNCTION_WORDS or words


def jaccard(left: Collection[str], right: Collection[str]) -> float:
    """Shared over all distinct words; 1 for two empty sets."""
    left, right = set(left), set(right)
    return len(left & right) / len(left | right) if left or right else 1.0


def idf(documents: Iterable[Collection[str]], terms: Iterable[str]) -> dict[str, float]:
    """log((1 + N) / (1 + df)) + 1 over N documents: at least 1, so that a term all have still counts."""
    sets = list(documents)
    return {term: math.log((1 + len(sets)) / (1 + sum(term in words for words in sets))) + 1 for term in sorted(terms)}


def share_covered(weights: Mapping[str, float], words: Collection[str]) -> float:
    """Weighted share of the terms that occur among `words`; 0 without terms."""
    total = math.fsum(weights.values())
    return math.fsum(weight for term, weight in weights.items() if term in words) / total if total else 0.0


def occurs(span: str, text: str) -> bool:
    """True if the words of `span` stand in `text` one after another; an empty span occurs nowhere."""
    wanted = normalise(span)
    return bool(wanted) and f" {wanted} " in f" {normalise(text)} "
