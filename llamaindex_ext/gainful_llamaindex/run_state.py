"""The state of a run, guarded or searching. It lives in the run's own store, under a key of its agent, nowhere else."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from llama_index.core.agent.workflow.base_agent import DEFAULT_MAX_ITERATIONS
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field
from llama_index.core.workflow import Context
from llama_index.core.workflow.errors import WorkflowRuntimeError

from gainful.budget import ANSWER, Budget, Charge, Cost, Ledger, Refusal, Usage
from gainful.budget.axes import HOST_STEPS
from gainful.budget.state import SearchState
from gainful.budget.trace import Trace
from gainful_llamaindex.errors import GainfulBudgetError, NoLedgerError

__all__ = [
    "BUDGET_KEY",
    "GuardRun",
    "Run",
    "SearchRun",
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


class Run(BaseModel):
    """One turn of one agent. Saved contexts name these classes, so they must not move.

    The ledger in it is live: it is reserved from and settled while calls run. A copy of a run is therefore the run
    itself, also for hosts that copy their state to edit it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    last_iteration: int
    """Steps of the host's loop when the last step of this run began."""
    seen: str
    """Fingerprint of the messages that step was given."""
    done: bool = False
    handing_off: bool = False

    def __deepcopy__(self, memo: Any) -> "Run":
        return self

    @property
    def accounts(self) -> Ledger:
        """The run's ledger."""
        raise NotImplementedError

    def goes_on(self, iteration: int, seen: str) -> bool:
        """True if a step that is the host's `iteration`-th belongs to this run."""
        again = iteration == self.last_iteration and seen == self.seen
        return not self.done and (again or iteration > self.last_iteration)

    def count_others(self, iteration: int) -> None:
        """Steps of agents that took over in between come out of the host's loop all the same."""
        others = iteration - self.last_iteration - 1
        steps = min(others, int(self.accounts.room(ANSWER).get(HOST_STEPS, 0)))
        if steps > 0:
            held = self.accounts.reserve(Cost(host_steps=steps), ANSWER)
            if not isinstance(held, Refusal):
                self.accounts.settle(held.id)


class GuardRun(Run):
    """A run of a guarded agent."""

    ledger: Ledger
    run_id: str
    question: str
    exit_reason: str = "answered"
    open_tools: dict[str, int] = Field(default_factory=dict)
    """Reservation per tool call that is running, by the call's id."""
    asked: dict[str, str] = Field(default_factory=dict)
    """Text of each result, by name and arguments of the call; empty while it runs."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Name and arguments of each running call, by its id."""
    begun: dict[str, float] = Field(default_factory=dict)
    """Clock reading at which each running call was admitted, by its id."""
    evidence: list[str] = Field(default_factory=list)
    """What tools returned, for an answer without a model."""
    without_model: bool = False
    """The answer was written without a model."""
    trace: Trace = Field(default_factory=Trace)

    @property
    def accounts(self) -> Ledger:
        return self.ledger

    def close(self, now: float) -> None:
        """Charge whatever is still open in full: the run is over and nobody will report on it."""
        for reservation in self.ledger.open_reservations:
            self.ledger.settle(reservation.id, None, now)
        self.open_tools.clear()

    def settle_tool(self, tool_id: str, content: str, now: float, *, failed: bool) -> Charge | None:
        """Charge one tool call, and remember what it returned; None if it was not to be paid for."""
        reservation = self.open_tools.pop(tool_id, None)
        if reservation is None:
            return None
        self.asked[self.keys.pop(tool_id)] = content
        self.evidence += [] if failed else [content]
        return self.ledger.settle(reservation, Usage(tool_calls=1), now)


class SearchRun(Run):
    """A run of a search agent."""

    state: SearchState
    num_asked: int = 0
    """How often a human was asked for more."""

    @property
    def accounts(self) -> Ledger:
        return self.state.ledger


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

    A turn is new if the last one was answered or failed, if the host counts its steps from the beginning again, or if
    a first step sees other messages. A step that runs again after a restore is not new: it goes on with what is left.

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
    iteration = await store.get("num_iterations", default=0)
    run: RunT | None = await store.get(key, default=None)
    seen = _fingerprint(messages)
    if run is not None and run.goes_on(iteration, seen):
        run.count_others(iteration)
        run.last_iteration, run.seen = iteration, seen
        return run
    steps = await store.get("max_iterations", default=DEFAULT_MAX_ITERATIONS) - iteration - 1
    if steps < 1:
        raise GainfulBudgetError(
            f"max_iterations must be at least {iteration + 2} to answer within it, got {steps + iteration + 1}: "
            "LlamaIndex raises at the end of the last one, even if it answered; pass run(..., max_iterations=...)"
        )
    own = await store.get(BUDGET_KEY, default=None)
    run = make(budget if own is None else Budget.parse(own), steps, {"last_iteration": iteration, "seen": seen})
    await store.set(key, run)
    return run


async def save_run(ctx: Any, key: str, run: Run) -> None:
    """Store the run, so that a snapshot taken from now on holds it."""
    await _store_of(ctx).set(key, run)


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


def _fingerprint(messages: Sequence[ChatMessage]) -> str:
    text = "\0".join(f"{message.role.value}\0{message.content or ''}" for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
