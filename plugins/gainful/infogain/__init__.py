"""Information gain: what each search turn took off a policy's uncertainty about the answer.

Answers are drawn before the first turn and after every tool result, grouped into classes of one meaning, and the belief
after a turn is the belief before the next. Nothing here runs a model: probes and judges do, and those that need torch
or a server are imported by name. A value that could not be measured is `Missing`, never zero.

Source: InfoReasoner, arXiv 2602.00845, whose served score is Delta-SePer, arXiv 2503.01478; classes as in semantic
entropy, arXiv 2302.09664; the kind `likelihood` is IGPO's, arXiv 2510.14967.
"""

from gainful.infogain.assess import aread_belief, clusters, gold_mass, measure, read_belief
from gainful.infogain.baseline import BaselineCache, BaselineKey
from gainful.infogain.belief import Belief, belief, exact_belief, gini, shannon
from gainful.infogain.config import PRESETS, GainOptions, JudgeOptions, read_options
from gainful.infogain.gain import (
    Reading,
    TurnGains,
    fixed_baseline_gains,
    trajectory_reward,
    turn_gains,
    uncertainty,
)
from gainful.infogain.judges import EntailmentJudge, SharedJudge, make_judge
from gainful.infogain.matchers import NormalizedMatchJudge, normalize
from gainful.infogain.probe import Probe
from gainful.infogain.types import AnswerSample, Missing
from gainful.infogain.weights import weights

__all__ = [
    "PRESETS",
    "AnswerSample",
    "BaselineCache",
    "BaselineKey",
    "Belief",
    "EntailmentJudge",
    "GainOptions",
    "JudgeOptions",
    "Missing",
    "NormalizedMatchJudge",
    "Probe",
    "Reading",
    "SharedJudge",
    "TurnGains",
    "aread_belief",
    "belief",
    "clusters",
    "exact_belief",
    "fixed_baseline_gains",
    "gini",
    "gold_mass",
    "make_judge",
    "measure",
    "normalize",
    "read_belief",
    "read_options",
    "shannon",
    "trajectory_reward",
    "turn_gains",
    "uncertainty",
    "weights",
]
