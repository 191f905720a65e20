"""Token F1 and exact match with the usual normalisation, the best over all answers of a question."""

import re
import string
from collections import Counter
from collections.abc import Sequence

from brain import ABSTAINS

from gainful.budget.commit import ABSTENTION

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_POLAR = (["yes"], ["no"])
NOTHING = "No answer"
"""How the text of a guarded agent begins that committed nothing."""


def abstained(answer: str) -> bool:
    """The committed text is no answer."""
    return not answer.strip() or answer == ABSTAINS or answer.startswith((ABSTENTION, NOTHING))


def f1(answer: str, answers: Sequence[str]) -> float:
    """0 for an abstention."""
    return 0.0 if abstained(answer) else max(_f1(_words(answer), _words(right)) for right in answers)


def exact(answer: str, answers: Sequence[str]) -> bool:
    return not abstained(answer) and any(_words(answer) == _words(right) for right in answers)


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(given: list[str], right: list[str]) -> float:
    """Yes and no have no partial credit, as in HotpotQA's own script."""
    if given != right and (given in _POLAR or right in _POLAR):
        return 0.0
    shared = sum((Counter(given) & Counter(right)).values())
    return 2 * shared / (len(given) + len(right)) if shared else 0.0
