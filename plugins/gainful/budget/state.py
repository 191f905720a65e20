"""Everything a run knows: plain data that survives JSON. What follows from it is computed again, not stored."""

from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr

from gainful.budget.actions import Action, Decision, Kind
from gainful.budget.config import ControllerConfig
from gainful.budget.digest import Digest, digest
from gainful.budget.ledger import Ledger
from gainful.budget.memory import Candidate, Evidence, Query, Slot, StepUse
from gainful.budget.passages import PassageIndex, index_passage
from gainful.budget.question import Question, read_question
from gainful.budget.report import BudgetReport
from gainful.budget.trace import Trace
from gainful.budget.types import Record

__all__ = ["OpenStep", "SearchState"]


class OpenStep(Record):
    """A step that was begun and not yet observed."""

    decision: Decision
    action: Action
    elapsed: int
    """Microseconds of the run at which it was begun."""


class SearchState(BaseModel):
    """One run. Made by `Controller.start`, changed only by the controller; never share one between runs.

    `model_dump_json` and `model_validate_json` store and restore it. Reservations that were open are then charged in
    full; the step itself may still be observed.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: str
    question: str
    config: ControllerConfig
    config_hash: str
    ledger: Ledger
    tools: tuple[str, ...]
    trace: Trace

    slots: list[Slot] = []
    evidence: list[Evidence] = []
    queries: list[Query] = []
    candidates: list[Candidate] = []
    uses: list[StepUse] = []
    critic_scores: list[float] = []
    pending: str | None = None
    """A proposed sub-question that was not searched yet."""
    claims_done: bool = False
    """The last proposal said DONE."""

    step: int = 0
    num_searches: int = 0
    num_proposals: int = 0
    dry: int = 0
    """Searches in a row without new evidence."""
    proposals_since_new: int = 0
    num_dropped: int = 0
    """Passages beyond `max_evidence`."""
    last_kind: Kind | None = None
    """Of the last step that was no critique."""
    critiqued: bool = False
    """A critique was made since then."""

    open: OpenStep | None = None
    answer: str = ""
    citations: tuple[str, ...] = ()
    closing: str = ""
    """Why the run went to its answer; empty before."""
    done: bool = False
    report: BudgetReport | None = None

    _form: Question = PrivateAttr()
    _index: dict[str, PassageIndex] = PrivateAttr(default_factory=dict)
    _digest: Digest = PrivateAttr(default_factory=Digest)

    def model_post_init(self, context: Any) -> None:
        """Compute what is not stored."""
        self._form = read_question(self.question, self.config)
        self.refresh()

    @property
    def form(self) -> Question:
        """What the form of the question says."""
        return self._form

    @property
    def digest(self) -> Digest:
        """Features and searches as of the last observation."""
        return self._digest

    @property
    def index(self) -> dict[str, PassageIndex]:
        """Words of each passage, by evidence id."""
        return self._index

    def refresh(self) -> None:
        """Bring index and digest up to date; the controller calls it after each observation."""
        self.index_evidence()
        self._digest = digest(self, self._index)

    def index_evidence(self) -> None:
        """Index the passages that are new."""
        for evidence in self.evidence:
            if evidence.id not in self._index:
                self._index[evidence.id] = index_passage(evidence, self._form, self.config)
