"""Decisions in the host's instrumentation: one span each, and an event with the numbers behind it."""

import sys
from typing import Any

from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events import BaseEvent

from gainful.budget.actions import Decision
from gainful.budget.controller import Controller
from gainful.budget.state import SearchState

__all__ = ["BudgetDecisionEvent", "budget_decision"]

dispatcher = get_dispatcher(__name__)


class BudgetDecisionEvent(BaseEvent):
    """What was decided, under the names that its attributes have in a trace."""

    attributes: dict[str, Any] = Field(default_factory=dict)
    """`gainful.budget.action`, `.query`, `.u`, `.d`, `.r`, `.s`, `.rho`, `.guards`, and `.left.<axis>`."""

    @classmethod
    def class_name(cls) -> str:
        return "BudgetDecisionEvent"


@dispatcher.span
def budget_decision(controller: Controller, state: SearchState, now: float) -> Decision:
    """Decide, in a span of its own."""
    decision = controller.decide(state, now)
    attributes = _attributes(decision, state, now)
    dispatcher.event(BudgetDecisionEvent(attributes=attributes))
    tracing = sys.modules.get("opentelemetry.trace")  # there only if somebody traces this process
    if tracing is not None:
        tracing.get_current_span().set_attributes(attributes)
    return decision


def _attributes(decision: Decision, state: SearchState, now: float) -> dict[str, Any]:
    chosen = decision.chosen
    values: dict[str, Any] = {"action": decision.kind, "s": decision.support, "rho": decision.pressure}
    if decision.move.query:
        values["query"] = decision.move.query
    if chosen is not None:
        values |= {"u": chosen.u, "d": chosen.d, "r": chosen.r}
    if decision.guards:
        values["guards"] = [f"{note.name}: {note.effect}" for note in decision.guards]
    values |= {f"left.{use.axis}": use.left for use in state.ledger.usage(now)}
    return {f"gainful.budget.{name}": value for name, value in values.items()}
