"""The judge that needs no model: answers are compared as strings."""

import re
import unicodedata
from collections.abc import Sequence

from gainful.infogain.types import Pair, Value

__all__ = ["NormalizedMatchJudge", "normalize"]

_ARTICLES = frozenset({"a", "an", "the"})
_KEPT = frozenset("#%")
_SEPARATORS = re.compile(r"[-\u2010-\u2015/_]+(?!\d)|(?<=\w)[-\u2010-\u2015/_]+")
_IN_NUMBER = re.compile(r"(?<=\d)[.,](?=\d)|(?<!\w)-(?=\d)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")


def normalize(text: str) -> str:
    """Lower case, compatibility forms unified, without articles and punctuation, single spaces.

    Hyphens and slashes separate words, other punctuation vanishes. What makes a number or a name another one stays:
    points and commas between digits, a minus sign, `#` and `%`. A text of articles alone stays as it is. These
    rules are ours.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isalnum():  # most answers are one word, and have no punctuation
        folded = _without_punctuation(_SEPARATORS.sub(" ", folded))
    words = folded.split()
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _without_punctuation(text: str) -> str:
    kept = {match.start() for match in _IN_NUMBER.finditer(text)}
    return "".join(
        char
        for place, char in enumerate(text)
        if place in kept or char in _KEPT or not unicodedata.category(char).startswith("P")
    )


class NormalizedMatchJudge:
    """P is 1 if the answers are the same after `normalize`, else 0. A text of punctuation alone matches nothing."""

    name = "normalized"

    def __init__(self, *, numbers: bool = False, containment: bool = False) -> None:
        """Choose the rules.

        Args:
            numbers: 1,000 and 1000.0 are the same.
            containment: An answer entails another if it holds all of its words, one after another: `the city of Paris`
                entails `paris`, not the other way round.
        """
        self._numbers = numbers
        self._containment = containment
        self.revision = "1" + "n" * numbers + "c" * containment

    def entail(self, question: str, pairs: Sequence[Pair]) -> list[Value]:
        """0 or 1 per pair; the question is not looked at."""
        del question
        plain = {text: self._plain(text) for text in {text for pair in pairs for text in pair}}
        return [float(self._holds(plain[premise], plain[hypothesis])) for premise, hypothesis in pairs]

    def _plain(self, text: str) -> str:
        plain = normalize(text)
        return _as_number(plain) if self._numbers else plain

    def _holds(self, premise: str, hypothesis: str) -> bool:
        if self._containment and hypothesis:
            return f" {hypothesis} " in f" {premise} "
        return premise == hypothesis != ""


def _as_number(plain: str) -> str:
    """One spelling for each number, of any size; other texts as they are."""
    joined = _THOUSANDS.sub("", plain)
    if not _NUMBER.fullmatch(joined):
        return plain
    whole, _, fraction = joined.partition(".")
    digits = ".".join(filter(None, [whole.lstrip("-0") or "0", fraction.rstrip("0")]))
    return f"-{digits}" if whole.startswith("-") and digits != "0" else digits
