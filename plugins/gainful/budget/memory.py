"""What a run remembers: slots, evidence, queries, candidates and what its steps took."""

from typing import Literal

from gainful.budget.types import Record

__all__ = ["Candidate", "Evidence", "Query", "Slot", "StepUse"]


class Slot(Record):
    """One fact that the question needs."""

    text: str
    status: Literal["open", "filled", "failed"] = "open"
    value: str = ""
    """The span that fills it; empty where the passage as a whole does."""
    evidence_ids: tuple[str, ...] = ()
    proposed: bool = False
    """True if a proposal named it, False if the form of the question did."""


class Evidence(Record):
    """One passage, kept once however often it is found."""

    id: str
    """Hash of title and text."""
    title: str
    text: str
    score: float | None
    rank: int
    """Place in the result of the search that found it first, from 0."""
    query: int
    """Which search that was, from 0."""
    num_tokens: int
    """Words, for keeping an overview; no tokenizer's count."""


class Query(Record):
    """One search that was begun."""

    text: str
    terms: tuple[str, ...]
    """Its distinct words in alphabetical order."""
    purpose: str
    num_new: int
    """Passages it brought that were not known."""


class Candidate(Record):
    """A possible answer."""

    answer: str
    origin: Literal["proposal", "answer"]
    support: float
    """Largest share of its words inside one passage."""


class StepUse(Record):
    """What one finished step took; the running medians come from these."""

    kind: str
    output_tokens: int
    input_tokens: int
    elapsed: int
    """Microseconds."""
