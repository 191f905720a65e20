"""Inference-time budget control for search agents: hard limits, and a choice of what to do with them.

Pure: no network, no clock, no randomness, no threads of its own. Time comes in as `now`, seconds of a monotonic clock.
The guarantee lives in `Ledger`, the preference in the value model: a wrong score may cost accuracy, never money.

Source: the method is that of arXiv 2605.05701. The paper prints none of the constants; ours are in `ControllerConfig`.
"""

from gainful.budget.config import ControllerConfig
from gainful.budget.ledger import Ledger, LedgerSnapshot
from gainful.budget.prices import PriceTable
from gainful.budget.types import (
    ANSWER,
    AxisUse,
    Budget,
    Charge,
    Cost,
    Grant,
    Overrun,
    Refusal,
    Reservation,
    Usage,
)

__all__ = [
    "ANSWER",
    "AxisUse",
    "Budget",
    "Charge",
    "ControllerConfig",
    "Cost",
    "Grant",
    "Ledger",
    "LedgerSnapshot",
    "Overrun",
    "PriceTable",
    "Refusal",
    "Reservation",
    "Usage",
]
