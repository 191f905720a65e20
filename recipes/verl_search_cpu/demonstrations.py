"""Partly wrong demonstrations: the form is always right; the first good query is frequent, the second one rare."""

import random

from world import CITIES, PEOPLE, THINGS, Question, World, draw_world

from gainful.retrieval import Doc, render

CALL = '<tool_call>{"name": "search", "arguments": {"query": "'
CALL_END = '"}}</tool_call>'
EOS = "<eos>"
MAX_SEARCHES = 3
FIRST_QUERY_RIGHT, SECOND_QUERY_RIGHT, RIGHT_FACT = 0.75, 0.3, 0.92
ANSWERS_AT_ONCE, ANSWERS_EARLY = 0.06, 0.5
"""Chances of the teacher; what they leave is a useless search."""

Segment = tuple[str, bool]
"""Text, and whether the policy wrote it."""


def say(answer: str) -> Segment:
    return f"<answer> {answer} </answer>{EOS}", True


def search(query: str) -> Segment:
    return f"{CALL} {query} {CALL_END}{EOS}", True


class Teacher:
    """Writes one trajectory after another, each about a world of its own."""

    def __init__(self, seed: int, *, errs: bool = True):
        """`errs=False`: the two right searches and the right answer, always."""
        self._errs = errs
        self._dice = random.Random(seed)  # noqa: S311  (not a secret)

    def trajectory(self) -> list[Segment]:
        """Text from the question to the answer."""
        world = draw_world(self._dice)
        question = Question(self._dice.choice(THINGS), self._dice.choice(("come", "live")))
        segments, known = [(f"<user>{question.text}<assistant>", False)], ""
        for _ in range(MAX_SEARCHES):
            query = self._next_query(world, question, known)
            if query is None:
                break
            segments += [search(query), (f"<tool>{self._shown(world, query)}<assistant>", False)]
            known = self._more(world, question, known, query)
        return [*segments, say(self._answer(world, question, known))]

    def _next_query(self, world: World, question: Question, known: str) -> str | None:
        """What is searched for next; None to answer."""
        maker, luck = world.maker[question.thing], self._dice.random()
        if known == maker:
            return None
        if not self._errs:
            return maker if known == question.thing else question.thing
        right, answer = (
            (SECOND_QUERY_RIGHT, ANSWERS_EARLY) if known == question.thing else (FIRST_QUERY_RIGHT, ANSWERS_AT_ONCE)
        )
        if luck < right:
            return maker if known == question.thing else question.thing
        return None if luck < right + answer else self._dice.choice(THINGS + PEOPLE)

    def _more(self, world: World, question: Question, known: str, query: str) -> str:
        """How far the trail has been followed: nowhere, to the thing, to its maker."""
        maker = world.maker[question.thing]
        if query == maker or known == maker:
            return maker
        return question.thing if question.thing in (query, known) else ""

    def _shown(self, world: World, query: str) -> str:
        docs = [Doc("", *pair, None) for pair in world.docs_of(query)]
        self._dice.shuffle(docs)
        return render(docs)

    def _answer(self, world: World, question: Question, known: str) -> str:
        if known == world.maker[question.thing]:
            right = not self._errs or self._dice.random() < RIGHT_FACT
            return world.answer(question if right else _other(question))
        near = known == question.thing and self._dice.random() < 0.3
        return world.place[known] if near else self._dice.choice(CITIES)


def _other(question: Question) -> Question:
    return Question(question.thing, "live" if question.kind == "come" else "come")
