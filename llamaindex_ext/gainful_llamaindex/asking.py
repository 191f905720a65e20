"""A human may be asked for more before a run goes to its answer."""

from typing import Any

from llama_index.core.workflow import HumanResponseEvent, InputRequiredEvent

from gainful.budget import Cost
from gainful.budget.actions import Decision
from gainful.budget.controller import Controller
from gainful_llamaindex.run_state import clock, save_run
from gainful_llamaindex.runs import SearchRun

__all__ = ["ask_for_more", "exhausted_axis"]

_YES = frozenset({"yes", "y", "true", "ok"})


def exhausted_axis(run: SearchRun, decision: Decision) -> str | None:
    """The limit that leaves nothing but the answer; None if the answer was chosen for another reason."""
    limited = run.state.ledger.limits
    return decision.reason if decision.kind == "ANSWER" and decision.reason in limited else None


async def ask_for_more(
    ctx: Any, key: str, run: SearchRun, decision: Decision, grant: Cost | None, controller: Controller
) -> bool:
    """Ask once a run; True if more was granted, so that the controller must decide again.

    The step that waits runs again from its beginning when the human has answered. Nothing is reserved before the wait,
    and what was asked is stored first, so the second time does not ask or reserve again. Time does not run meanwhile.
    """
    axis = exhausted_axis(run, decision)
    if grant is None or axis is None or run.num_asked:
        return False
    run.state.ledger.stop_clock(clock())
    await save_run(ctx, key, run)
    question = InputRequiredEvent(prefix=f"The limit on {axis} is reached. {_wish(grant)}", axis=axis)
    reply = await ctx.wait_for_event(HumanResponseEvent, waiter_event=question, waiter_id=f"{key}_{run.state.run_id}")
    run.state.ledger.start_clock(clock())
    run.num_asked += 1
    granted = str(reply.response).strip().lower() in _YES
    if granted:
        controller.grant(run.state, grant, "a human agreed", clock())
    await save_run(ctx, key, run)
    return granted


def _wish(grant: Cost) -> str:
    amounts = {"tool_calls": "searches", "output_tokens": "output tokens", "llm_calls": "model calls"}
    parts = [f"{getattr(grant, axis)} more {name}" for axis, name in amounts.items() if getattr(grant, axis)]
    return f"May I have {' and '.join(parts) or 'more'}? (yes or no)"
