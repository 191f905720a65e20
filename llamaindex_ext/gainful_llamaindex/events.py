"""What a budgeted run writes to the event stream, and what it returns."""

from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.workflow import Event

from gainful.budget.report import BudgetReport
from gainful.budget.table import step_line
from gainful.budget.trace import StepRecord

__all__ = [
    "BudgetEvent",
    "BudgetedAgentOutput",
    "DecisionEvent",
    "EvidenceEvent",
    "ExhaustedEvent",
    "FinalizerEvent",
]


class DecisionEvent(Event):
    """One decision and what became of it; `str()` is one line of at most 140 characters."""

    record: StepRecord

    def __str__(self) -> str:
        return step_line(self.record)


class EvidenceEvent(Event):
    """A search returned."""

    query: str
    new_ids: list[str]
    """Of passages that were not known before."""


class BudgetEvent(Event):
    """A call was charged."""

    label: str
    charged: dict[str, int]
    source: str
    """reported | estimated | full_reservation"""
    left: dict[str, float]
    """Per limited axis, in its own unit; what is held for the answer included."""


class ExhaustedEvent(Event):
    """A limit leaves nothing but the answer, or not even that."""

    resource: str
    reason: str


class FinalizerEvent(Event):
    """The finalizer looked at an answer."""

    before: str
    after: str
    reason: str


class BudgetedAgentOutput(AgentOutput):
    """An agent's output with the report of its run. Built when a run ends, never inside a step."""

    report: BudgetReport
