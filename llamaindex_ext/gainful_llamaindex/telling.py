"""Events, records and reports of a run."""

import hashlib
from typing import TYPE_CHECKING, Any

from gainful.budget import Budget, Charge, ControllerConfig, Refusal
from gainful.budget.actions import Observation
from gainful.budget.axes import SECONDS, from_units
from gainful.budget.finalizer import Finalized
from gainful.budget.memory import Evidence
from gainful.budget.recording import versions
from gainful.budget.report import BudgetReport
from gainful.budget.scoring import pressure, shares_left
from gainful.budget.state import SearchState
from gainful.budget.trace import StepRecord
from gainful_llamaindex.errors import BudgetExceededError
from gainful_llamaindex.events import BudgetEvent, DecisionEvent, EvidenceEvent, ExhaustedEvent, FinalizerEvent
from gainful_llamaindex.run_state import clock, save_run
from gainful_llamaindex.runs import GuardRun, SearchRun

if TYPE_CHECKING:
    from gainful_llamaindex.guards import GuardSettings

__all__ = ["exceeded", "note_charge", "report_of", "tell_charges", "tell_end", "tell_exhausted", "tell_step"]

_HASH = ControllerConfig().config_hash

# A guarded agent decides by itself and scores nothing. Copied per charge, since most of it never changes.
_UNSCORED = StepRecord(
    run_id="",
    step=0,
    t=0,
    t_begin=0,
    t_end=0,
    action="",
    decided="",
    query="",
    purpose="",
    tool="",
    k=0,
    features={},
    s=0.0,
    options=(),
    rho=0.0,
    shadow_price=0.0,
    guards=(),
    forced=False,
    reason="",
    reserved={},
    used={},
    usage="reported",
    ledger=(),
    new_evidence=(),
    outcome="ok",
    config_hash=_HASH,
    observation=Observation(),
)


def tell_step(ctx: Any, state: SearchState) -> None:
    """Write the controller's last step to the event stream."""
    record = state.trace.steps[-1]
    ctx.write_event_to_stream(DecisionEvent(record=record))
    if record.action == "SEARCH":
        ctx.write_event_to_stream(EvidenceEvent(query=record.query, new_ids=list(record.new_evidence)))
    ctx.write_event_to_stream(_budget_event(record))


async def tell_end(ctx: Any, key: str, run: SearchRun, report: BudgetReport) -> None:
    """Store a finished run, and write its end to the event stream.

    Raises:
        BudgetExceededError: A limit ended the run, and the budget says to raise.
    """
    before = run.state.trace.records[-1].base_answer
    reason = report.finalized.reason
    ctx.write_event_to_stream(FinalizerEvent(before=before, after=report.answer, reason=reason))
    await save_run(ctx, key, run)
    error = exceeded(report, run.state.ledger.budget)
    if report.exit_reason.startswith(("budget:", "deadline")):
        ctx.write_event_to_stream(ExhaustedEvent(resource=_axis(report), reason=report.exit_reason))
    if error is not None:
        run.done = True
        await save_run(ctx, key, run)
        raise error


def exceeded(report: BudgetReport, budget: Budget) -> BudgetExceededError | None:
    """The error for a run that a limit ended, if its budget says to raise."""
    use = next((use for use in report.axes if use.axis == _axis(report)), None)
    if use is None or budget.on_exhausted != "raise":
        return None
    return BudgetExceededError(use.axis, use.limit, use.spent + use.reserved, 1, report)


def _axis(report: BudgetReport) -> str:
    return SECONDS if report.exit_reason == "deadline" else report.exit_reason.removeprefix("budget:")


def note_charge(
    run: GuardRun, action: str, charge: Charge | None, *, began: float, tool: str = "", query: str = ""
) -> None:
    """Note what was charged in the trace of a guarded run; nothing if nothing was.

    `began` is in elapsed seconds of the run, as the ledger counts them.
    """
    if charge is None:
        return
    kind, start = action.upper(), from_units(SECONDS, began)
    ledger = run.ledger
    given = {
        "run_id": run.run_id,
        "step": len(run.trace.records),
        "t": start,
        "t_begin": start,
        "t_end": from_units(SECONDS, ledger.read_clock(clock())),
        "action": kind,
        "decided": kind,
        "query": query,
        "tool": tool,
        "rho": pressure(shares_left(ledger.left(), ledger.limits).values()),
        "used": charge.amounts,
        "usage": charge.source,
        "ledger": ledger.usage(),
    }
    run.trace.append(_UNSCORED.model_copy(update=given))


def tell_charges(ctx: Any, run: GuardRun) -> None:
    """Write what was charged since the last time to the event stream.

    Called in the host's steps that write events anyway: a step that writes its first one keeps the host waiting.
    """
    records = run.trace.records
    for record in records[run.num_told :]:
        ctx.write_event_to_stream(_budget_event(record))
    run.num_told = len(records)


async def tell_exhausted(ctx: Any, run: GuardRun, settings: "GuardSettings", why: Refusal) -> None:
    """Say that a limit leaves only the answer.

    Raises:
        BudgetExceededError: The budget says to raise.
    """
    run.exit_reason = "deadline" if why.resource == SECONDS else f"budget:{why.resource}"
    ctx.write_event_to_stream(ExhaustedEvent(resource=why.resource, reason=str(why)))
    if run.ledger.budget.on_exhausted == "raise":
        run.done = True
        await save_run(ctx, settings.key, run)
        raise BudgetExceededError(why.resource, why.limit, why.used, why.asked, report_of(run, ""))


def report_of(run: GuardRun, answer: str) -> BudgetReport:
    """The report of a guarded run up to now. It scored nothing, so its trace has no features and no options."""
    ledger = run.ledger
    ledger.read_clock(clock())
    return BudgetReport(
        run_id=run.run_id,
        question=run.question,
        answer=answer,
        origin="abstention" if run.without_model else "answer",
        exit_reason=run.exit_reason,
        axes=ledger.usage(),
        spent=ledger.spent(),
        overruns=ledger.overruns,
        grants=ledger.grants,
        audit_ok=ledger.audit_ok,
        late_seconds=ledger.late_seconds,
        num_decisions=len(run.trace.records),
        evidence=tuple(_evidence(n, text) for n, text in enumerate(run.evidence)),
        citations=(),
        finalized=Finalized(answer=answer, reason="guarded agents have no finalizer"),
        config_hash=_HASH,
        versions=versions(),
        trace=run.trace,
    )


def _evidence(number: int, text: str) -> Evidence:
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Evidence(id=name, title="", text=text, score=None, rank=0, query=number, num_tokens=len(text.split()))


def _budget_event(record: StepRecord) -> BudgetEvent:
    left = {use.axis: float(use.left) for use in record.ledger}
    label = record.tool or record.action
    return BudgetEvent(label=label, charged=dict(record.used), source=record.usage, left=left)
