"""Bridges: names in a passage that a next search could ask for, read off question and passage without a model.

A multi-hop question names where to begin and by what relation to go on: "the director of X". A passage titled X is an
anchor. In it the name that is wanted stands near a word of that relation, as in "directed by Y". Ours.
"""

from gainful.budget.config import ControllerConfig
from gainful.budget.names import names
from gainful.budget.question import Question
from gainful.budget.text import occurs, tokens
from gainful.budget.words import MONTHS

__all__ = ["bridge_names", "is_anchor", "plain_title"]


def plain_title(title: str) -> str:
    """Without what only tells it from others, in parentheses."""
    return title.split(" (")[0]


def is_anchor(title: str, question: Question) -> bool:
    """The question names what the passage is about."""
    return occurs(plain_title(title), question.text)


def bridge_names(title: str, text: str, question: Question, config: ControllerConfig) -> tuple[str, ...]:
    """Names that neither the title nor the question holds, the most promising first; months are none.

    Promise is closeness to a word that shares its first letters with one of the question's, such as directed with
    director, and a bonus for names of two words or more; of equal ones the earlier.
    """
    stem = config.stem_letters
    own, asked = set(tokens(plain_title(title))), set(tokens(question.text))
    words = tokens(text)
    stems = {word[:stem] for word in question.terms if len(word) >= stem}
    relations = [place for place, word in enumerate(words) if word not in own and word[:stem] in stems]
    promise: dict[str, float] = {}
    for name in names(text):
        parts = tokens(name)
        if parts and parts[0] not in MONTHS and not (asked.issuperset(parts) or own.issuperset(parts)):
            promise[name] = _closeness(parts, words, relations) + config.full_name_bonus * (len(parts) > 1)
    return tuple(sorted(promise, key=lambda name: -promise[name]))


def _closeness(name: list[str], words: list[str], relations: list[int]) -> float:
    """1 right after a word of the relation, less with each word between; 0 without such a word.

    A name before the word counts as one word farther away.
    """
    start = _place(name, words)
    gaps = [start - place if place < start else abs(place - start - len(name)) + 2 for place in relations]
    return 1 / min(gaps) if gaps else 0.0


def _place(name: list[str], words: list[str]) -> int:
    """Where the name stands first."""
    starts = (place for place, word in enumerate(words) if word == name[0])
    return next((place for place in starts if words[place : place + len(name)] == name), 0)
