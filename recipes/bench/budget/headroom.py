"""How much there is to gain by searching well: shares of questions for which all gold passages were found. No model.

One search with the question, several searches without a model that return as many passages in all, and the gold
queries in sequence, where what one search found may be named in the next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data import Passage, Question
from hops import reachable_queries
from pool import Pool

from gainful.budget import ControllerConfig, Usage
from gainful.budget.actions import Fallback, LLMRequest, Move, Observation, Search
from gainful.budget.actions import Passage as Found
from gainful.budget.controller import Controller
from gainful.budget.types import Budget
from gainful.budget.value import StateView, ValueEstimate

DEPTHS = (1, 2, 5, 10, 20)
"""Passages of all searches together."""

Searches = Callable[[Question, Pool, int], list[Passage]]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    recall: tuple[float, ...]
    """All-gold recall per depth."""


def one_search(question: Question, pool: Pool, depth: int) -> list[Passage]:
    """The question as it stands."""
    return [passage for passage, _ in pool.search(question.text, depth)]


def free_searches(number: int) -> Searches:
    """`number` searches with the queries that the controller makes without a model."""

    def search(question: Question, pool: Pool, depth: int) -> list[Passage]:
        depths = _split(depth, number)
        controller = Controller(config=ControllerConfig(covered_from=1), value_model=SearchOnly())
        state, found = controller.start(question.text, Budget(tool_calls=len(depths)), 0.0), []
        while not state.done:
            action = controller.begin(state, controller.decide(state, 0.0), 0.0)
            seen = Observation(outcome="refused", started=isinstance(action, Fallback))
            if isinstance(action, Search):
                passages = pool.search(action.query, depths[state.num_searches])
                found += [passage for passage, _ in passages]
                given = tuple(Found(title=one.title, text=one.text, score=score) for one, score in passages)
                seen = Observation(passages=given, usage=Usage(tool_calls=1))
            controller.observe(state, action, seen, 0.0)
        return found

    return search


def gold_sequence(question: Question, pool: Pool, depth: int) -> list[Passage]:
    """The gold queries one after the other, as many as there are gold passages."""
    found: list[Passage] = []
    for share in _split(depth, len(question.gold_ids)):
        queries = reachable_queries(question, found)
        if queries:
            found += [passage for passage, _ in pool.search(queries[0], share)]
    return found


METHODS: dict[str, Searches] = {
    "1 search, the question": one_search,
    "2 searches, no model": free_searches(2),
    "3 searches, no model": free_searches(3),
    "gold queries in sequence": gold_sequence,
}


def headroom(questions: Sequence[Question], pool: Pool, on_step: Callable[[], None]) -> list[Row]:
    """One row per way to search; `on_step` is called after each of them and depth."""
    rows = []
    for name, search in METHODS.items():
        recall = []
        for depth in DEPTHS:
            recall.append(sum(_all_gold(q, search(q, pool, depth)) for q in questions) / len(questions))
            on_step()
        rows.append(Row(name, tuple(recall)))
    return rows


class SearchOnly:
    """A value model that only ever wants to search."""

    name = "search_only"

    def request(self, view: StateView) -> LLMRequest | None:
        return None

    def value(self, view: StateView, move: Move, features: object) -> ValueEstimate:
        return ValueEstimate(delta=1.0 if move.kind == "SEARCH" else -1.0)


def _all_gold(question: Question, found: Sequence[Passage]) -> bool:
    return {passage.id for passage in found} >= set(question.gold_ids)


def _split(depth: int, number: int) -> list[int]:
    """`depth` in `number` parts as equal as can be, the larger ones first; without empty ones."""
    parts = [depth // number + (place < depth % number) for place in range(number)]
    return [part for part in parts if part]
