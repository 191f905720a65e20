"""The finalizer on for every method alike: applied to the committed texts after the runs, since it makes no call.

What it gains follows from the form errors that the noise assumes, so it is kept out of the headline. It sees no slots
here: only the controller has them, and all methods are to be treated the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data import Question
from pool import Pool
from scoring import f1

from gainful.budget import ControllerConfig
from gainful.budget.actions import Passage
from gainful.budget.finalizer import CLASSES, Draft, Finalized, RuleFinalizer
from gainful.budget.memory import Evidence
from gainful.budget.passages import as_evidence
from gainful.budget.question import read_question

Counts = Mapping[str, tuple[int, int, int]]
"""Cases, fixed and broken by class."""
_FORCED: Counts = dict.fromkeys(CLASSES, (1000, 1000, 0))


@dataclass
class Repairs:
    """Over all rows of a method."""

    rows: int = 0
    before: float = 0.0
    after: float = 0.0
    changed: int = 0
    fixed: int = 0
    broken: int = 0

    def add(self, before: float, after: float, changed: bool) -> None:
        self.rows, self.before, self.after = self.rows + 1, self.before + before, self.after + after
        self.changed += changed
        self.fixed += after > before
        self.broken += after < before


def repair(rows: Iterable[Mapping[str, Any]], questions: Sequence[Question], pool: Pool, counts: Counts) -> Repairs:
    """What the finalizer does to the answers of one method."""
    by_id, total = {question.id: question for question in questions}, Repairs()
    for row in rows:
        question = by_id[row["id"]]
        done = _finalized(row, question, pool, counts)
        total.add(row["f1"], f1(done.answer, question.answers) if done.changed else row["f1"], done.changed)
    return total


def count(
    rows: Iterable[Mapping[str, Any]], questions: Sequence[Question], pool: Pool
) -> dict[str, tuple[int, int, int]]:
    """Cases per class with every class switched on; on tuning files only."""
    by_id, totals = {question.id: question for question in questions}, {name: Repairs() for name in CLASSES}
    for row in rows:
        question = by_id[row["id"]]
        done = _finalized(row, question, pool, _FORCED)
        if done.changed:
            totals[done.repair].add(row["f1"], f1(done.answer, question.answers), True)
    return {name: (total.changed, total.fixed, total.broken) for name, total in totals.items()}


def _finalized(row: Mapping[str, Any], question: Question, pool: Pool, counts: Counts) -> Finalized:
    if row["abstained"]:
        return Finalized(answer=row["answer"], reason="there is no answer")
    config = ControllerConfig(class_counts=dict(counts))
    form = read_question(question.text, config)
    draft = Draft(row["answer"], form, config, slots=(), evidence=_evidence(row, pool), steps=())
    return RuleFinalizer().finalize(draft)


def _evidence(row: Mapping[str, Any], pool: Pool) -> list[Evidence]:
    """As the controller would hold it: each passage under the search that found it first."""
    held: dict[str, Evidence] = {}
    for place, (query, k) in enumerate(row["searches"]):
        found = [Passage(title=one.title, text=one.text, score=score) for one, score in pool.search(query, k)]
        for passage in as_evidence(found, place):
            held.setdefault(passage.id, passage)
    return list(held.values())
