"""The accounts of a run that gave no output: it was cancelled, or its model failed."""

from typing import Any

from gainful.budget.report import BudgetReport
from gainful_llamaindex.agent import BudgetedSearchAgent
from gainful_llamaindex.errors import NoLedgerError
from gainful_llamaindex.guarded import Guarded
from gainful_llamaindex.run_state import clock, save_run
from gainful_llamaindex.runs import GuardRun, SearchRun
from gainful_llamaindex.telling import report_of

__all__ = ["close_run"]


async def close_run(agent: Any, ctx: Any) -> BudgetReport | None:
    """End the last run of `agent` in `ctx`: what is still open is charged in full, for nobody will report on it.

    Called once by whoever started the run, after it was cancelled or has raised, and never while it goes on. A run that
    ended with an output has its report there.

    Args:
        agent: What `guard` returned, or a `BudgetedSearchAgent`.
        ctx: The context that was passed to `agent.run`, or `handler.ctx`.

    Returns:
        The report, with the exit reason `cancelled` unless a limit had ended the run before; None if it never began.

    Raises:
        NoLedgerError: The agent has no budget.
    """
    if not isinstance(agent, Guarded | BudgetedSearchAgent):
        raise NoLedgerError(f"close_run: expected a guarded agent or a search agent, got {type(agent).__name__}")
    key = agent.guard_settings().key if isinstance(agent, Guarded) else agent.run_key
    run: GuardRun | SearchRun | None = await ctx.store.get(key, default=None)
    if run is None:
        return None
    report = _close_guarded(run) if isinstance(run, GuardRun) else _close_searching(agent, run)
    run.done = True
    await save_run(ctx, key, run)
    return report


def _close_guarded(run: GuardRun) -> BudgetReport:
    run.close(clock())
    if run.exit_reason == "answered":
        run.exit_reason = "cancelled"
    return report_of(run, "")


def _close_searching(agent: Any, run: SearchRun) -> BudgetReport:
    report: BudgetReport = agent.searcher.controller.finish(run.state, clock(), cancelled=True)
    return report
