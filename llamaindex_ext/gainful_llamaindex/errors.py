"""Errors of the LlamaIndex adapters. None of them is raised because a budget ran out, unless you asked for that."""

from typing import Any

from gainful.errors import BudgetExceededError as CoreBudgetExceededError
from gainful.errors import GainfulError

__all__ = [
    "BudgetExceededError",
    "GainfulBudgetError",
    "NoLedgerError",
    "UnsupportedAgentError",
    "UnsupportedLLMError",
]


class GainfulBudgetError(GainfulError):
    """Base of the errors below."""


class BudgetExceededError(GainfulBudgetError, CoreBudgetExceededError):
    """A hard budget is spent; only with `on_exhausted="raise"`.

    Attributes:
        resource: Axis on which the next step did not fit, such as `tool_calls`.
        limit: Its limit, in the axis's own unit.
        used: What is spent, reserved or held for the answer.
        asked: What the next step would have taken.
        report: The `BudgetReport` of the run up to here.
    """

    def __init__(self, resource: str, limit: float, used: float, asked: float, report: Any) -> None:
        super().__init__(f"budget spent: {resource}: limit {limit:g}, used or held {used:g}, asked {asked:g}")
        self.resource, self.limit, self.used, self.asked, self.report = resource, limit, used, asked, report


class UnsupportedLLMError(GainfulBudgetError, TypeError):
    """We do not know which field of this language model caps its output, or cannot trust the field."""


class UnsupportedAgentError(GainfulBudgetError, TypeError):
    """This agent makes calls that could not be counted."""


class NoLedgerError(GainfulBudgetError, RuntimeError):
    """A budgeted part was called outside a run that has a ledger; it refuses to run uncounted."""
