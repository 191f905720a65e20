"""Where a run is kept: in the store of its context, under a key of its agent, and nowhere else."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from llama_index.core.agent.workflow.base_agent import DEFAULT_MAX_ITERATIONS
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.workflow import Context
from llama_index.core.workflow.errors import WorkflowRuntimeError
from workflows.context.state_store import DictState

from gainful.budget import Budget
from gainful_llamaindex.errors import GainfulBudgetError, NoLedgerError
from gainful_llamaindex.runs import Run

__all__ = [
    "BUDGET_KEY",
    "clock",
    "current_key",
    "current_run",
    "open_run",
    "save_run",
    "store_key",
]

clock = time.monotonic

BUDGET_KEY = "gainful_budget"
"""Write a budget under this key of a context's store, and the turns in that context get it instead of the agent's."""

current_key: ContextVar[str] = ContextVar("gainful_current_key")
"""Key of the run whose tool is executing."""


RunT = TypeVar("RunT", bound=Run)


def store_key(kind: str, name: str) -> str:
    """Where a run of the agent `name` is stored; without dots, which the store takes for paths."""
    return f"gainful_{kind}_{name.encode().hex()}"


async def open_run(
    ctx: Any,
    key: str,
    messages: Sequence[ChatMessage],
    budget: Budget,
    make: Callable[[Budget, int, dict[str, Any]], RunT],
) -> RunT:
    """The run that is going on in `ctx`, or a fresh one with a full budget if a new turn begins.

    A turn is new if the last one was answered or failed, if the user said something else, if the host counts its steps
    from the beginning again, or if a first step sees other messages. Where that leaves a doubt, the run goes on. A step
    that runs again after a restore goes on with what is left.

    Args:
        ctx: Context of the step.
        key: Where the run is stored.
        messages: What the step is given.
        budget: Limits of a fresh run, unless the store holds others under `BUDGET_KEY`.
        make: (budget, steps the host's loop has left, fields of `Run`) -> a fresh run.

    Raises:
        NoLedgerError: The context has no store.
        GainfulBudgetError: The host's own loop is too short to answer in.
    """
    store = _store_of(ctx)
    state = await store.get_state()  # once: every read of a store that is kept outside decodes all of it
    iteration = _read(state, "num_iterations", 0)
    run: RunT | None = _read(state, key, None)
    turn, seen = _read(state, "user_msg_str", ""), _fingerprint(messages)
    if run is not None and run.goes_on(turn, iteration, seen):
        run.count_others(iteration)
        run.last_iteration, run.seen = iteration, seen
        return run
    steps = _read(state, "max_iterations", DEFAULT_MAX_ITERATIONS) - iteration - 1
    if steps < 1:
        raise GainfulBudgetError(
            f"max_iterations must be at least {iteration + 2} to answer within it, got {steps + iteration + 1}: "
            "LlamaIndex raises at the end of the last one, even if it answered; pass run(..., max_iterations=...)"
        )
    own = _read(state, BUDGET_KEY, None)
    mark = {"turn": turn, "last_iteration": iteration, "seen": seen}
    run = make(budget if own is None else Budget.parse(own), steps, mark)
    await store.set(key, run)
    return run


async def save_run(ctx: Any, key: str, run: Run) -> None:
    """Store the run, so that a snapshot taken from now on holds it; a store that keeps the object itself has it."""
    store = _store_of(ctx)
    if await store.get(key, default=None) is not run:
        await store.set(key, run)


async def current_run(key: str | None = None) -> tuple[Any, Run]:
    """Context and run of the step that is executing; for tools, which are not handed a context.

    Raises:
        NoLedgerError: There is no step, or no run under this key.
    """
    try:
        ctx, name = Context.get_step_context(), key or current_key.get()
    except (WorkflowRuntimeError, LookupError) as error:
        raise NoLedgerError("a budgeted tool was called outside a run; call it through its agent") from error
    run: Run | None = await _store_of(ctx).get(name, default=None)
    if run is None:
        raise NoLedgerError("a budgeted tool was called in a run that has no ledger for it; call it through its agent")
    return ctx, run


def _store_of(ctx: Any) -> Any:
    store = getattr(ctx, "store", None)
    if store is None:
        raise NoLedgerError(
            f"expected a workflow context with a store, found {type(ctx).__name__}; budgets are kept in the context of "
            "a run: call agent.run(...), not take_step"
        )
    return store


def _read(state: Any, key: str, default: Any) -> Any:
    """From the host's own state, which is like a dictionary, or from a model that the user declared."""
    return state.get(key, default) if isinstance(state, DictState) else getattr(state, key, default)


def _fingerprint(messages: Sequence[ChatMessage]) -> str:
    text = "\0".join(f"{message.role.value}\0{message.content or ''}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
