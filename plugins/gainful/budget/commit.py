"""Exactly one committed answer, whatever happened before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gainful.budget.axes import AXES, SECONDS, is_call_axis
from gainful.budget.feasible import MAX_STEPS
from gainful.budget.features import best_passage
from gainful.budget.finalizer import Finalized
from gainful.budget.guards import SUFFICIENT
from gainful.budget.recording import versions
from gainful.budget.report import AnswerOrigin, BudgetReport
from gainful.budget.spans import spans_of

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["ABSTENTION", "base_answer", "exit_reason", "make_report"]

ABSTENTION = "No answer was found within the budget."


def base_answer(state: "SearchState") -> tuple[str, AnswerOrigin]:
    """The first that exists: the answer call's text, the best-supported candidate, a span if allowed, abstention."""
    if state.answer:
        return state.answer, "answer"
    if state.candidates:
        # of equal ones the latest
        return max(reversed(state.candidates), key=lambda candidate: candidate.support).answer, "candidate"
    span = _extracted(state) if state.config.extract else ""
    if span:
        return span, "extract"
    return _abstention(state), "abstention"


def exit_reason(state: "SearchState", origin: AnswerOrigin, *, cancelled: bool) -> str:
    """answered, sufficient, budget:<axis>, deadline, abstained or cancelled."""
    if cancelled or not state.done:
        return "cancelled"
    if state.closing == SECONDS:
        return "deadline"
    if state.closing in (*AXES, MAX_STEPS) or is_call_axis(state.closing):
        return f"budget:{state.closing}"
    if origin == "abstention":
        return "abstained"
    return "sufficient" if state.closing == SUFFICIENT else "answered"


def make_report(
    state: "SearchState", finalized: Finalized, origin: AnswerOrigin, why: str, warnings: Sequence[str]
) -> BudgetReport:
    """What the run hands back; nothing may be open any more."""
    ledger = state.ledger
    return BudgetReport(
        run_id=state.run_id,
        question=state.question,
        answer=finalized.answer,
        origin=origin,
        exit_reason=why,
        axes=ledger.usage(),
        spent=ledger.spent(),
        overruns=ledger.overruns,
        grants=ledger.grants,
        audit_ok=ledger.audit_ok,
        late_seconds=ledger.late_seconds,
        num_decisions=state.step,
        evidence=tuple(state.evidence),
        citations=state.citations if origin == "answer" else (),
        finalized=finalized,
        config_hash=state.config_hash,
        versions=versions(),
        warnings=tuple(warnings),
        trace=state.trace,
    )


def _extracted(state: "SearchState") -> str:
    """The first span of the asked type that the best passage holds and the question does not name."""
    best, _ = best_passage(state.form.terms, state.index)
    text = next((passage.text for passage in state.evidence if passage.id == best), "")
    return next((span for span in spans_of(state.form.kind, text) if span not in state.question), "")


def _abstention(state: "SearchState") -> str:
    titles = dict.fromkeys(passage.title or passage.id for passage in state.evidence)
    return f"{ABSTENTION} Passages found: {'; '.join(titles)}" if titles else ABSTENTION
