"""Group-based advantage estimators: pure functions of rewards, response mask and group ids. Imports torch."""

from gainful.advantage.agpo import AgpoConfig, agpo, agpo_metrics
from gainful.advantage.diagnostics import diagnostics
from gainful.advantage.nsr import NsrConfig, nsr
from gainful.advantage.psr import PsrConfig, psr
from gainful.advantage.types import Advantages, Estimator, OutcomeOptions
from gainful.advantage.w_reinforce import WReinforceConfig, w_reinforce

__all__ = [
    "Advantages",
    "AgpoConfig",
    "Estimator",
    "NsrConfig",
    "OutcomeOptions",
    "PsrConfig",
    "WReinforceConfig",
    "agpo",
    "agpo_metrics",
    "diagnostics",
    "nsr",
    "psr",
    "w_reinforce",
]
