"""What a host that keeps its own loop may do next: an ordinary step, the answer, or nothing."""

from collections.abc import Collection
from dataclasses import dataclass

from gainful.budget.axes import INPUT_TOKENS, MONEY, OUTPUT_TOKENS, SECONDS
from gainful.budget.config import ControllerConfig
from gainful.budget.ledger import Ledger
from gainful.budget.types import ANSWER, Cost, Refusal

__all__ = ["STEP", "TOOL", "Step", "next_step", "tool_cost"]

STEP = "step"
TOOL = "tool"

_CONFIG = ControllerConfig()


@dataclass(frozen=True, slots=True)
class Step:
    """The next model call: its price, and whether it must be the last one."""

    purpose: str
    at: float
    """The moment it was planned for; reserved at a later one, all the time there is would be more than there is."""
    cost: Cost | None
    """None: not even the answer fits; no model may be called."""
    why: Refusal | None = None
    """What keeps it from being an ordinary step; None if it is one, or if there are no tools to call."""
    tools: frozenset[str] = frozenset()
    """Of the offered ones: those of which one more call would fit, and all that are free."""

    @property
    def final(self) -> bool:
        return self.purpose == ANSWER

    @property
    def cap(self) -> int | None:
        """Output tokens to ask for at most; None if neither tokens nor money are limited."""
        return self.cost.output_tokens or None if self.cost else None


def next_step(
    ledger: Ledger, now: float, *, tools: Collection[str], free: Collection[str], own_cap: int | None, input_tokens: int
) -> Step:
    """An ordinary step if it, one tool call after it and the answer all fit; else the answer; else nothing.

    Args:
        ledger: The accounts of the run.
        now: Seconds of a monotonic clock.
        tools: Names of the tools that would be offered; without any the step is the answer.
        free: Names of tools that cost nothing.
        own_cap: The caller's own cap on output tokens; the step never asks for more.
        input_tokens: Estimated tokens of the prompt.
    """
    why = None
    if tools:
        refusals = {name: ledger.check(tool_cost(ledger, name, now), TOOL, now) for name in tools if name not in free}
        usable = frozenset(name for name in tools if refusals.get(name) is None)
        cost = _cost(ledger, STEP, now, own_cap, input_tokens)
        why = _misfit(ledger, cost, STEP, now, _CONFIG.min_step_tokens)
        if refusals and not usable - set(free):
            why = why or next(iter(refusals.values()))
        if why is None:
            return Step(STEP, now, cost, tools=usable)
    answer = _cost(ledger, ANSWER, now, own_cap, input_tokens)
    misfit = _misfit(ledger, answer, ANSWER, now, 1)
    return Step(ANSWER, now, None if misfit else answer, misfit or why)


def tool_cost(ledger: Ledger, name: str, now: float) -> Cost:
    """One call of a tool, with all the time there is before the answer's share as its timeout."""
    return Cost.of_tool(name, seconds=float(ledger.room(TOOL, now).get(SECONDS, 0)))


def _cost(ledger: Ledger, purpose: str, now: float, own_cap: int | None, input_tokens: int) -> Cost:
    """All the tokens and time there are for `purpose`; axes without a limit are not asked."""
    room = ledger.room(purpose, now)
    cap = 0
    if OUTPUT_TOKENS in room or MONEY in room:
        cap = int(
            min(room.get(OUTPUT_TOKENS, _CONFIG.answer_cap), own_cap or room.get(OUTPUT_TOKENS, _CONFIG.answer_cap))
        )
    estimated = input_tokens if INPUT_TOKENS in room or MONEY in room else 0
    seconds = float(room.get(SECONDS, 0))
    return Cost(llm_calls=1, host_steps=1, output_tokens=cap, input_tokens=estimated, seconds=seconds)


def _misfit(ledger: Ledger, cost: Cost, purpose: str, now: float, floor: int) -> Refusal | None:
    """Why `cost` does not fit; with fewer output tokens than `floor` the call would only be cut."""
    asked = max(cost.output_tokens, floor) if OUTPUT_TOKENS in ledger.limits else cost.output_tokens
    if asked != cost.output_tokens:
        cost = cost.model_copy(update={"output_tokens": asked})
    return ledger.check(cost, purpose, now)
