"""Names in a text, by capitals alone. Plain string work: no model, no language resource, linear time."""

import re
from collections.abc import Iterator

from gainful.budget.words import ARTICLES, CONNECTIVES, FUNCTION_WORDS, TITLES

__all__ = ["names"]

_WORD = re.compile(r"[^\W_](?:[\w'\u2019&-]|\.(?=[^\W_]))*\.?")
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_OPENINGS = FUNCTION_WORDS - ARTICLES
_MAX_WORDS = 10
"""A longer run of capitals is a heading; it is cut into names of this many words."""


def names(text: str) -> list[str]:
    """Distinct runs of capitalised words, in order, without function words that open them and without a final 's.

    Anything but a single space between two words ends a run, so that a name stands in the text as it is returned. So
    does a full stop, unless it belongs to an initial or a title before a name ("S. Sylvan", "Dr. No"). Up to two words
    such as "of the", and numbers, may stand inside. A capital that is there only because a sentence begins is not told
    apart.
    """
    found = (_without_opening(run) for run in _runs(text))
    return list(dict.fromkeys(name for name in found if name))


def _runs(text: str) -> Iterator[list[str]]:
    run: list[str] = []
    between: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        word, stops = _read(match.group())
        if run and text[end : match.start()] != " ":
            yield run
            run, between = [], []
        end = match.end()
        if word[0].isupper():
            run, between = [*run, *between, word], []
        elif run and not stops and len(between) < 2 and (word in CONNECTIVES or word[0].isdigit()):
            between.append(word)
            continue
        else:
            stops = True
        if run and (stops or len(run) >= _MAX_WORDS):
            yield run
            run, between = [], []
    if run:
        yield run


def _read(piece: str) -> tuple[str, bool]:
    """A word as it stands in a name, and whether its full stop ends the run."""
    word = piece.rstrip(".")
    is_short = len(word) == 1 or word in TITLES or "." in word
    return (piece, False) if word == piece or (is_short and word[0].isupper()) else (word, True)


def _without_opening(run: list[str]) -> str:
    start = next((place for place, word in enumerate(run) if word.lower() not in _OPENINGS), len(run))
    words = run[start:]
    if {word.lower() for word in words} <= ARTICLES:
        return ""
    return " ".join([*words[:-1], _POSSESSIVE.sub("", words[-1])])
