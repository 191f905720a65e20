"""What a budgeted run writes to the event stream, and what it returns."""

from typing import Any

from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.bridge.pydantic import Field
from llama_index.core.workflow import Event

from gainful_llamaindex.report import BudgetReport

__all__ = [
    "BudgetEvent",
    "BudgetedAgentOutput",
    "DecisionEvent",
    "EvidenceEvent",
    "ExhaustedEvent",
    "FinalizerEvent",
]


class BudgetEvent(Event):
    """A call was charged."""

    label: str
    charged: dict[str, int]
    source: str
    """reported | estimated | full_reservation"""
    left: dict[str, float]
    """Per limited axis, in its own unit."""


class ExhaustedEvent(Event):
    """The next step must be the answer, or is left out altogether."""

    resource: str
    """The axis on which an ordinary step did not fit."""
    reason: str


class EvidenceEvent(Event):
    """A search brought these passages."""

    query: str
    new_ids: list[str]
    known: int
    """Passages that were known before."""


class FinalizerEvent(Event):
    """The finalizer looked at the answer."""

    before: str
    after: str
    label: str


class DecisionEvent(Event):
    """One decision of the controller; `str()` is one line."""

    line: str
    record: dict[str, Any] = Field(default_factory=dict)
    """The trace record, as JSON."""

    def __str__(self) -> str:
        return self.line


class BudgetedAgentOutput(AgentOutput):
    """An agent's output with the report of its run. Built when a run ends, never inside a step."""

    report: BudgetReport
