"""What is stored of a run, guarded or searching. Saved contexts name these classes, so they must not move."""

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field

from gainful.budget import ANSWER, Charge, Cost, Ledger, Refusal, Usage
from gainful.budget.axes import HOST_STEPS
from gainful.budget.state import SearchState
from gainful.budget.trace import Trace

__all__ = ["GuardRun", "Run", "SearchRun"]


class Run(BaseModel):
    """One turn of one agent.

    The ledger in it is live: it is reserved from and settled while calls run. A copy of a run is therefore the run
    itself, also for hosts that copy their state to edit it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    turn: str
    """What the user said, as the host keeps it for the turn."""
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

    def goes_on(self, turn: str, iteration: int, seen: str) -> bool:
        """True if a step that is the host's `iteration`-th belongs to this run."""
        again = iteration == self.last_iteration and seen == self.seen
        return not self.done and turn == self.turn and (again or iteration > self.last_iteration)

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
    """Elapsed seconds of the run at which each running call was admitted, by its id."""
    evidence: list[str] = Field(default_factory=list)
    """What tools returned, for an answer without a model."""
    without_model: bool = False
    """The answer was written without a model."""
    trace: Trace = Field(default_factory=Trace)
    num_told: int = 0
    """Records of the trace that were written to the event stream."""

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
    passed_on: bool = False
    """The question was handed to another agent once; it is not handed on again."""

    @property
    def accounts(self) -> Ledger:
        return self.state.ledger
