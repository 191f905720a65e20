"""Adapter for LlamaIndex: hard budgets for the agent you have, and search agents that spend theirs where it helps.

    from gainful_llamaindex import guard
    agent = guard(FunctionAgent(tools=[search], llm=llm), "2/300")   # two tool calls, 300 output tokens, no more

Names are loaded on first use: importing this package imports neither LlamaIndex nor pydantic.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "BudgetExceededError": "errors",
    "BudgetedAgentOutput": "events",
    "BudgetedSearchAgent": "agent",
    "BudgetedSearchQueryEngine": "query_engine",
    "DecisionEvent": "events",
    "EvidenceEvent": "events",
    "ExhaustedEvent": "events",
    "FinalizerEvent": "events",
    "BudgetEvent": "events",
    "GainfulBudgetError": "errors",
    "NoLedgerError": "errors",
    "UnsupportedAgentError": "errors",
    "UnsupportedLLMError": "errors",
    "close_run": "closing",
    "guard": "guards",
    "guard_workflow": "guards",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gainful_llamaindex' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"gainful_llamaindex.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, *globals()]
