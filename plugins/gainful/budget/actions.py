"""What the controller asks a host to do, and what the host reports back."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from gainful.budget.types import Record, Usage

__all__ = [
    "Action",
    "Answer",
    "Caps",
    "Critique",
    "Decision",
    "Fallback",
    "GuardNote",
    "Kind",
    "LLMRequest",
    "Move",
    "Observation",
    "Option",
    "Outcome",
    "Passage",
    "Propose",
    "Search",
]

Kind = Literal["SEARCH", "DECOMPOSE", "ANSWER", "CRITIQUE"]
Outcome = Literal["ok", "error", "refused", "timeout", "cancelled"]


class Passage(Record):
    """One retrieved text. `score` is the retriever's, of any scale, or None."""

    text: str
    title: str = ""
    score: float | None = None

    @field_validator("score", mode="before")
    @classmethod
    def _no_number_is_no_score(cls, value: object) -> object:
        return None if isinstance(value, float) and not math.isfinite(value) else value


class Observation(Record):
    """What became of an action. Only an `ok` outcome has passages (search) or text (model calls)."""

    outcome: Outcome = "ok"
    passages: tuple[Passage, ...] = ()
    text: str = ""
    usage: Usage | None = None
    """None is unknown: the whole reservation is charged."""
    started: bool = True
    """False only if the call never left the host; then nothing is charged."""


class Caps(Record):
    """Limits that the host must put on the call. None means no limit from the budget."""

    max_output_tokens: int | None = None
    """To be sent to the server; reasoning tokens included."""
    max_input_tokens: int | None = None
    """The host cuts its prompt until its own count times `input_margin` fits."""
    timeout_seconds: float | None = None


class LLMRequest(Record):
    """A model call that a value model asks for; it runs under the ledger as a `Critique`."""

    prompt: str
    max_output_tokens: int = Field(ge=1)


class Search(Record):
    """Call a search tool once, then observe its passages."""

    kind: Literal["SEARCH"] = "SEARCH"
    step: int
    reservation_id: int
    caps: Caps
    query: str
    purpose: str
    """pending, question or bridge: where the query comes from."""
    tool: str
    num_passages: int


class Propose(Record):
    """Ask a model for the next sub-question in the line protocol of `proposal`, then observe its text."""

    kind: Literal["DECOMPOSE"] = "DECOMPOSE"
    step: int
    reservation_id: int
    caps: Caps
    evidence_ids: tuple[str, ...]


class Critique(Record):
    """Make the model call that the value model asked for, then observe its text."""

    kind: Literal["CRITIQUE"] = "CRITIQUE"
    step: int
    reservation_id: int
    caps: Caps
    request: LLMRequest


class Answer(Record):
    """Ask a model for the answer from the evidence, in this order, with `[n]` citations; then observe its text."""

    kind: Literal["ANSWER"] = "ANSWER"
    step: int
    reservation_id: int
    caps: Caps
    evidence_ids: tuple[str, ...]
    closed_book: bool = False
    """True if there is no evidence and the config allows an answer without it."""


class Fallback(Record):
    """No model call is left, or none would help: do nothing, observe an empty `Observation`, finish."""

    kind: Literal["FALLBACK"] = "FALLBACK"
    step: int
    reason: str
    """The axis that does not fit, `no evidence`, or the outcome that ended the run."""


Action = Annotated[Search | Propose | Critique | Answer | Fallback, Field(discriminator="kind")]


class Move(Record):
    """One thing that could be done next, as value and cost models see it."""

    kind: Kind
    query: str = ""
    purpose: str = ""
    tool: str = ""
    novelty: float = 0.0
    """Of the query: one less the largest Jaccard similarity to an earlier query."""


class Option(Record):
    """A move with its score."""

    move: Move
    delta: float
    psi: float
    pi: float
    u: float
    d: float
    r: float


class GuardNote(Record):
    """A guard that changed something, or would have."""

    name: str
    effect: str


class Decision(Record):
    """What to do next and why."""

    step: int
    kind: Kind
    move: Move
    elapsed: int
    """Microseconds of the run at which it was taken."""
    features: Mapping[str, float]
    support: float
    """s: the estimated chance that answering now is right."""
    pressure: float
    """rho."""
    shadow_price: float
    """lambda(rho)."""
    options: tuple[Option, ...]
    guards: tuple[GuardNote, ...]
    forced: bool = False
    reason: str
    """Of an answer: value, sufficient support, no new query, or the axis that leaves nothing else."""
    request: LLMRequest | None = None
    warnings: tuple[str, ...] = ()

    @property
    def chosen(self) -> Option | None:
        """The score of what was chosen; None where it was not scored."""
        return next((option for option in self.options if option.move == self.move), None)
