"""Invented worlds: who made a thing, where people come from and live. A question takes two searches.

`where does the maker of tavolo live ?` needs the document that names the maker, and then one about the maker. Names are
fixed, facts are drawn anew for every world, so nothing but searching helps.
"""

import random
from dataclasses import dataclass
from itertools import islice, product

from gainful.retrieval import Doc

NUM_THINGS, NUM_PEOPLE, NUM_CITIES = 80, 80, 12
_SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru")
_KINDS = {"come": "comes from", "live": "lives at"}


def _names(ending: str, count: int) -> tuple[str, ...]:
    return tuple("".join(parts) + ending for parts in islice(product(_SYLLABLES, repeat=3), count))


THINGS, PEOPLE, CITIES = _names("x", NUM_THINGS), _names("n", NUM_PEOPLE), _names("ville", NUM_CITIES)


@dataclass(frozen=True)
class Question:
    """One question about one world."""

    thing: str
    kind: str
    """`come` or `live`."""

    @property
    def text(self) -> str:
        return f"where does the maker of {self.thing} {'come from' if self.kind == 'come' else 'live'} ?"


@dataclass(frozen=True)
class World:
    """One drawing of all facts."""

    maker: dict[str, str]
    place: dict[str, str]
    """Where a thing stands: a city that answers no question."""
    come: dict[str, str]
    live: dict[str, str]

    def answer(self, question: Question) -> str:
        return getattr(self, question.kind)[self.maker[question.thing]]

    def docs_of(self, name: str) -> list[tuple[str, str]]:
        """(title, text) of the documents about a thing or a person; none for another word."""
        if name in self.maker:
            return [(name, f"{name} was made by {self.maker[name]}"), (name, f"{name} stands near {self.place[name]}")]
        if name in self.come:
            return [(name, f"{name} {verb} {getattr(self, kind)[name]}") for kind, verb in _KINDS.items()]
        return []

    def corpus(self) -> list[Doc]:
        """All documents."""
        pairs = [pair for name in (*THINGS, *PEOPLE) for pair in self.docs_of(name)]
        return [Doc(f"{i:04}", title, text, None) for i, (title, text) in enumerate(pairs)]


def draw_world(dice: random.Random) -> World:
    """Every person makes one thing; all other facts are independent."""
    return World(
        maker=dict(zip(THINGS, dice.sample(PEOPLE, len(PEOPLE)), strict=True)),
        place={name: dice.choice(CITIES) for name in THINGS},
        come={name: dice.choice(CITIES) for name in PEOPLE},
        live={name: dice.choice(CITIES) for name in PEOPLE},
    )


def split(seed: int, num_held_out: int) -> tuple[list[Question], list[Question]]:
    """All questions as (training, held out); no thing, and so no maker, is in both."""
    things = list(THINGS)
    random.Random(seed).shuffle(things)  # noqa: S311  (not a secret)
    questions = [[Question(thing, kind) for kind in _KINDS] for thing in things]
    held_out = num_held_out // len(_KINDS)
    flat = [[question for pair in part for question in pair] for part in (questions[held_out:], questions[:held_out])]
    return flat[0], flat[1]
