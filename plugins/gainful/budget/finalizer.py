"""The last look at an answer: repair its form where that is safe, or leave it. No search, no tool, no model call.

A class of repairs is on only when it was counted on tuning data: G and H are its Laplace-smoothed shares of fixed and
broken answers, and an answer is replaced only where F = G - eta H reaches tau. Without counts everything stays.

Source: the shape of arXiv 2605.05701. Classes, conditions and constants are ours. Differs from it: "verbatim in a
passage" cannot hold for yes and no, so for those the word must open the answer and its opposite must not occur in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gainful.budget.config import ControllerConfig
from gainful.budget.memory import Evidence, Slot
from gainful.budget.names import names
from gainful.budget.question import Question
from gainful.budget.spans import AnswerType, options_of, spans_of
from gainful.budget.text import normalise, occurs, tokens
from gainful.budget.trace import StepRecord
from gainful.budget.types import Record

__all__ = ["CLASSES", "Draft", "Finalized", "Finalizer", "RuleFinalizer", "net_gain"]

_TYPED: tuple[AnswerType, ...] = ("date", "year", "number")


class Finalized(Record):
    """What a finalizer decided."""

    answer: str
    changed: bool = False
    repair: str = ""
    """The class that applied; empty if none did."""
    reason: str = ""
    net_gain: float | None = None
    """F of the class; None where it was not counted."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a finalizer sees: the answer of the run, and what it rests on."""

    base_answer: str
    question: Question
    config: ControllerConfig
    slots: Sequence[Slot]
    evidence: Sequence[Evidence]
    steps: Sequence[StepRecord]


class Finalizer(Protocol):
    """Turns the trajectory's answer into the committed one."""

    def finalize(self, draft: Draft) -> Finalized:
        """Called once per run with a model's answer or a candidate. An exception leaves the answer as it is."""


class RuleFinalizer:
    """The built-in finalizer: four classes of repairs, each either sure or silent."""

    def finalize(self, draft: Draft) -> Finalized:
        """Replace the base answer only if a class applies, is on, gains enough, and every bridge is resolved."""
        base = draft.base_answer
        if any(slot.proposed and slot.status != "filled" for slot in draft.slots):
            return Finalized(answer=base, reason="a bridge is unresolved")
        last_hop = _last_hop(draft.evidence)
        for repair, propose in CLASSES.items():
            reference = propose(draft.question, base, last_hop)
            if reference and reference != base:
                return _judge(repair, base, reference, draft.config)
        return Finalized(answer=base, reason="no class applies")


def net_gain(repair: str, config: ControllerConfig) -> float | None:
    """F = G - eta H of a class; None if it was counted on too few tuning cases."""
    cases, fixed, broken = config.class_counts.get(repair, (0, 0, 0))
    if cases < config.min_class_cases:
        return None
    gain, harm = ((count + 1) / (cases + 2) for count in (fixed, broken))
    return gain - config.harm_weight * harm


def _judge(repair: str, base: str, reference: str, config: ControllerConfig) -> Finalized:
    gain = net_gain(repair, config)
    if gain is None:
        return Finalized(answer=base, repair=repair, reason="the class is off: too few tuning cases")
    if gain < config.min_net_gain:
        return Finalized(answer=base, repair=repair, reason="the class gains too little", net_gain=gain)
    return Finalized(answer=reference, changed=True, repair=repair, reason="replaced", net_gain=gain)


def _last_hop(evidence: Sequence[Evidence]) -> list[str]:
    """Texts of the last search that found anything new, best first."""
    return [f"{passage.title} {passage.text}" for passage in evidence if passage.query == evidence[-1].query]


# Each class: question, answer and texts of the last hop -> the repaired answer, or an empty string.


def _yes_no(question: Question, base: str, last_hop: Sequence[str]) -> str:
    """An answer that opens with yes or no and then explains itself, without the opposite word."""
    words = tokens(base)
    said = {"yes", "no"} & set(words)
    return words[0] if question.kind == "yes_no" and len(said) == 1 and words[0] in said else ""


def _binary_choice(question: Question, base: str, last_hop: Sequence[str]) -> str:
    """A sentence that names exactly one of the two options, as the question spells it.

    Between compared things only if the last hop has a passage for each, with a date or number in it.
    """
    options = options_of(question.text) or ()
    named = [option for option in options if occurs(option, base)]
    if len(named) != 1 or normalise(named[0]) == normalise(base):
        return ""
    texts = {option: [text for text in last_hop if occurs(option, text)] for option in options}
    if question.is_comparison and not all(any(map(_has_value, found)) for found in texts.values()):
        return ""
    return named[0] if texts[named[0]] else ""


def _typed_slot(question: Question, base: str, last_hop: Sequence[str]) -> str:
    """A sentence that holds exactly one date, year or number, which is the only one of its kind in the top passages."""
    if question.kind not in _TYPED or question.is_comparison:
        return ""
    spans = spans_of(question.kind, base)
    if len(spans) != 1 or normalise(spans[0]) == normalise(base):
        return ""
    rivals = {span for text in last_hop[:2] for span in spans_of(question.kind, text)}
    return spans[0] if rivals == {spans[0]} else ""


def _span_completion(question: Question, base: str, last_hop: Sequence[str]) -> str:
    """A part of a name, completed to the one longer name of the last hop that holds it."""
    if question.kind != "name" or question.is_comparison or names(base) != [base]:
        return ""
    longer = {
        name for text in last_hop for name in names(text) if occurs(base, name) and normalise(name) != normalise(base)
    }
    return longer.pop() if len(longer) == 1 else ""


def _has_value(text: str) -> bool:
    return any(spans_of(kind, text) for kind in _TYPED)


CLASSES: dict[str, Callable[[Question, str, Sequence[str]], str]] = {
    "yes_no": _yes_no,
    "binary_choice": _binary_choice,
    "typed_slot": _typed_slot,
    "span_completion": _span_completion,
}
"""In the order in which they are tried; the first that applies decides."""
