"""Group-based advantage estimators: pure functions of rewards, response mask and group ids. Imports torch."""

from gainful.advantage.a_grae import AGraeConfig, a_grae
from gainful.advantage.adora import AdoraConfig, adora
from gainful.advantage.agpo import AgpoConfig, agpo, agpo_metrics
from gainful.advantage.arm import ArmConfig, arm
from gainful.advantage.aspo_shape import AspoShapeConfig, aspo_shape
from gainful.advantage.bnpo import BnpoConfig, bnpo
from gainful.advantage.canon_entropy import CanonEntropyConfig, canon_entropy
from gainful.advantage.canon_length import CanonLengthConfig, canon_length
from gainful.advantage.copo import CopoConfig, copo
from gainful.advantage.diagnostics import diagnostics
from gainful.advantage.e_grpo import EGrpoConfig, e_grpo
from gainful.advantage.gigpo import GigpoConfig, gigpo
from gainful.advantage.hdpo import HdpoConfig, hdpo
from gainful.advantage.info_gain import info_gain
from gainful.advantage.info_gain_credit import InfoGainConfig
from gainful.advantage.info_gain_metrics import info_gain_metrics
from gainful.advantage.missing_gains import MissingOptions
from gainful.advantage.ngrpo import NgrpoConfig, ngrpo
from gainful.advantage.nsr import NsrConfig, nsr
from gainful.advantage.psr import PsrConfig, psr
from gainful.advantage.spae import SpaeConfig, spae
from gainful.advantage.turn_credit import TurnCreditConfig, turn_credit
from gainful.advantage.turn_traj import TurnTrajConfig, turn_traj
from gainful.advantage.types import Advantages, Estimator, OutcomeOptions
from gainful.advantage.w_reinforce import WReinforceConfig, w_reinforce

__all__ = [
    "ArmConfig",
    "arm",
    "CanonEntropyConfig",
    "canon_entropy",
    "CopoConfig",
    "copo",
    "EGrpoConfig",
    "e_grpo",
    "GigpoConfig",
    "gigpo",
    "HdpoConfig",
    "hdpo",
    "SpaeConfig",
    "spae",
    "AGraeConfig",
    "AdoraConfig",
    "Advantages",
    "AgpoConfig",
    "AspoShapeConfig",
    "BnpoConfig",
    "CanonLengthConfig",
    "Estimator",
    "InfoGainConfig",
    "info_gain",
    "info_gain_metrics",
    "MissingOptions",
    "NgrpoConfig",
    "NsrConfig",
    "OutcomeOptions",
    "PsrConfig",
    "TurnCreditConfig",
    "TurnTrajConfig",
    "WReinforceConfig",
    "a_grae",
    "adora",
    "agpo",
    "agpo_metrics",
    "aspo_shape",
    "bnpo",
    "canon_length",
    "diagnostics",
    "ngrpo",
    "nsr",
    "psr",
    "turn_credit",
    "turn_traj",
    "w_reinforce",
]
