"""Events and reports about a guarded run."""

from typing import TYPE_CHECKING, Any

from gainful.budget import Charge, Refusal
from gainful.budget.axes import SECONDS
from gainful_llamaindex.errors import BudgetExceededError
from gainful_llamaindex.events import BudgetEvent, ExhaustedEvent
from gainful_llamaindex.report import BudgetReport, StepRow
from gainful_llamaindex.run_state import GuardRun, clock, save_run

if TYPE_CHECKING:
    from gainful_llamaindex.guards import GuardSettings

__all__ = ["report_of", "tell_charge", "tell_exhausted"]


def tell_charge(ctx: Any, run: GuardRun, label: str, charge: Charge | None, started: float | None = None) -> None:
    """Note what was charged, in the run and in the event stream; nothing if nothing was."""
    if charge is None:
        return
    now = clock()
    elapsed = run.ledger.read_clock(now)
    ago = 0.0 if started is None else now - started
    charged, source = dict(charge.amounts), charge.source
    run.steps.append(
        StepRow(label=label, started=max(0.0, elapsed - ago), ended=elapsed, charged=charged, source=source)
    )
    left = {axis: float(amount) for axis, amount in run.ledger.room("answer", now).items()}
    ctx.write_event_to_stream(BudgetEvent(label=label, charged=charged, source=source, left=left))


async def tell_exhausted(ctx: Any, run: GuardRun, settings: "GuardSettings", why: Refusal) -> None:
    """Say that only the answer is left.

    Raises:
        BudgetExceededError: The budget says to raise.
    """
    run.exit_reason = "deadline" if why.resource == SECONDS else f"budget:{why.resource}"
    ctx.write_event_to_stream(ExhaustedEvent(resource=why.resource, reason=str(why)))
    if settings.budget.on_exhausted == "raise":
        run.done = True
        await save_run(ctx, settings.key, run)
        raise BudgetExceededError(why.resource, why.limit, why.used, why.asked, report_of(run, ""))


def report_of(run: GuardRun, answer: str) -> BudgetReport:
    """The run up to now."""
    return BudgetReport.of(run.ledger, clock(), answer=answer, exit_reason=run.exit_reason, steps=run.steps)
