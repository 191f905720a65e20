"""Inference-time budget control for search agents: hard limits, and a choice of what to do with them.

Pure: no network, no clock, no randomness, no threads of its own. Time comes in as `now`, seconds of a monotonic clock.
The guarantee lives in `Ledger`, the preference in the value model: a wrong score may cost accuracy, never money.

Source: the method is that of arXiv 2605.05701. The paper prints none of the constants; ours are in `ControllerConfig`.
"""

from gainful.budget.actions import (
    Action,
    Answer,
    Caps,
    Critique,
    Decision,
    Fallback,
    GuardNote,
    LLMRequest,
    Move,
    Observation,
    Option,
    Passage,
    Propose,
    Search,
)
from gainful.budget.allowance import Allowance
from gainful.budget.config import ControllerConfig
from gainful.budget.controller import Controller
from gainful.budget.costs import CostEstimate, CostModel, PricedCost, RunningMedianCost
from gainful.budget.finalizer import Draft, Finalized, Finalizer, RuleFinalizer
from gainful.budget.ledger import Ledger, LedgerSnapshot
from gainful.budget.memory import Candidate, Evidence, Query, Slot
from gainful.budget.prices import PriceTable
from gainful.budget.proposal import Proposal, parse_proposal
from gainful.budget.replay import Difference, Replay, replay
from gainful.budget.report import BudgetReport
from gainful.budget.state import SearchState
from gainful.budget.table import decision_line, step_line
from gainful.budget.trace import FinishRecord, GrantRecord, StartRecord, StepRecord, Trace
from gainful.budget.types import ANSWER, AxisUse, Budget, Charge, Cost, Grant, Overrun, Refusal, Reservation, Usage
from gainful.budget.value import (
    ConstantValue,
    CriticValue,
    HeuristicValue,
    RandomValue,
    StateView,
    ValueEstimate,
    ValueModel,
)

__all__ = [
    "ANSWER",
    "Action",
    "Allowance",
    "Answer",
    "AxisUse",
    "Budget",
    "BudgetReport",
    "Candidate",
    "Caps",
    "Charge",
    "ConstantValue",
    "Controller",
    "ControllerConfig",
    "Cost",
    "CostEstimate",
    "CostModel",
    "CriticValue",
    "Critique",
    "Decision",
    "Difference",
    "Draft",
    "Evidence",
    "Fallback",
    "Finalized",
    "Finalizer",
    "FinishRecord",
    "Grant",
    "GrantRecord",
    "GuardNote",
    "HeuristicValue",
    "LLMRequest",
    "Ledger",
    "LedgerSnapshot",
    "Move",
    "Observation",
    "Option",
    "Overrun",
    "Passage",
    "PriceTable",
    "PricedCost",
    "Proposal",
    "Propose",
    "Query",
    "RandomValue",
    "Refusal",
    "Replay",
    "Reservation",
    "RuleFinalizer",
    "RunningMedianCost",
    "Search",
    "SearchState",
    "Slot",
    "StartRecord",
    "StateView",
    "StepRecord",
    "Trace",
    "Usage",
    "ValueEstimate",
    "ValueModel",
    "decision_line",
    "parse_proposal",
    "replay",
    "step_line",
]
