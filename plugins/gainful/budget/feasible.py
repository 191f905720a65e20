"""What the ledger still allows: every axis must cover the answer's reserve after the most that an action may take."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainful.budget.axes import TOOL_CALLS
from gainful.budget.steps import model_step_cost, search_cost
from gainful.budget.types import Refusal

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["Feasibility", "check_feasible", "search_limit"]

MAX_STEPS = "max_steps"


@dataclass(frozen=True)
class Feasibility:
    """What fits."""

    tools: tuple[str, ...]
    """Tools of which one call fits."""
    decompose: bool
    """A proposal and the search that must follow it fit."""
    why_no_search: str = ""
    why_no_decompose: str = ""


def search_limit(state: "SearchState") -> int:
    """T: searches of the whole run, as many as the limit on tool calls, or `max_steps` if there is none."""
    return state.ledger.limits.get(TOOL_CALLS, state.config.max_steps)


def check_feasible(state: "SearchState", now: float) -> Feasibility:
    """Changes nothing; what is found here may be refused a moment later."""
    ledger = state.ledger
    room = ledger.room("search", now)
    refusals = {tool: ledger.check(search_cost(ledger, room, tool), "search", now) for tool in state.tools}
    tools = tuple(tool for tool, refusal in refusals.items() if refusal is None)
    why = next((refusal.resource for refusal in refusals.values() if refusal), "")
    if state.num_searches >= search_limit(state):
        tools, why = (), TOOL_CALLS if TOOL_CALLS in ledger.limits else MAX_STEPS
    if not tools:
        return Feasibility((), decompose=False, why_no_search=why, why_no_decompose=f"no search could follow, {why}")
    cost = model_step_cost(ledger, room, state.config.propose_cap, state.config)
    if isinstance(cost, Refusal):
        return Feasibility(tools, decompose=False, why_no_decompose=cost.resource)
    follow_up = search_cost(ledger, room, tools[0])
    both = follow_up.model_copy(
        update={
            "llm_calls": cost.llm_calls,
            "output_tokens": cost.output_tokens,
            "input_tokens": cost.input_tokens,
        }
    )
    refusal = ledger.check(both, "propose", now)
    return Feasibility(tools, decompose=refusal is None, why_no_decompose=refusal.resource if refusal else "")
