"""Uncertainty of a belief, and what each search turn took off it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, fsum
from typing import Literal

from gainful.errors import InputError, ShapeError
from gainful.infogain.belief import Belief, gini, log_gold, shannon
from gainful.infogain.types import Missing, Value, check_choice

__all__ = [
    "GOLD_KINDS",
    "Form",
    "Increments",
    "Kind",
    "Reading",
    "TurnGains",
    "fixed_baseline_gains",
    "trajectory_reward",
    "turn_gains",
    "uncertainty",
]

Kind = Literal["shannon", "gini", "log", "mass", "likelihood"]
Form = Literal["turn", "trajectory_mean", "trajectory_sum"]
Increments = Literal["telescoping", "fixed"]

GOLD_KINDS = frozenset({"log", "mass", "likelihood"})
"""Kinds that need a gold answer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one probe said about a belief; whatever was not measured is `Missing`."""

    belief: Belief | Missing
    gold_mass: Value
    gold_logprob: Value
    """Mean ln p of the tokens of the likeliest gold alias, at most 0."""
    num_samples: int = 0
    """R, which the smoothing of `log` needs."""


def uncertainty(
    kind: Kind, reading: Reading, *, miller_madow: bool = True, likelihood: Literal["prob", "log"] = "prob"
) -> Value:
    """U of a belief; the gain of a turn is U before less U after.

        shannon     - sum_c b(c) ln b(c), with the Miller-Madow correction
        gini        1 - sum_c b(c)^2, in its unbiased form
        log         - ln((R m + 0.5) / (R + 1)), m the gold mass
        mass        - m
        likelihood  - P, or - ln P with `likelihood="log"`; P = exp(mean ln p of the gold tokens)

    `shannon` and `gini` need no gold answer; they reward confidence, in a wrong answer too.

    Returns:
        U; `Missing` where what the kind needs is missing.

    Raises:
        ConfigError: Unknown kind.
        InputError: Kind `log` for a reading that does not say how many samples it had.

    Source: `mass` is the served score of dl-m9/InfoReasoner, which is Delta-SePer (arXiv 2503.01478); `shannon` and
    `log` are the forms of its project page, on semantic entropy; `likelihood` is IGPO's (arXiv 2510.14967). Smoothing
    and corrections are ours.
    """
    check_choice("kind", kind, Kind)
    if kind in ("shannon", "gini"):
        return _of_belief(kind, reading.belief, miller_madow)
    if kind == "likelihood":
        logprob = reading.gold_logprob
        if isinstance(logprob, Missing):
            return logprob
        return -logprob if likelihood == "log" else -exp(logprob)
    mass = reading.gold_mass
    if isinstance(mass, Missing):
        return mass
    return -mass if kind == "mass" else log_gold(mass, reading.num_samples)


def _of_belief(kind: Kind, belief: Belief | Missing, miller_madow: bool) -> Value:
    if isinstance(belief, Missing):
        return belief
    if kind == "shannon":
        return shannon(belief, miller_madow=miller_madow)
    if belief.n == 1:
        return Missing("probe_empty", "gini needs at least 2 samples")
    return gini(belief)


@dataclass(frozen=True, slots=True)
class TurnGains:
    """Gains of the K search turns of a trajectory."""

    values: tuple[Value, ...]
    """[K] U before the turn less U after it."""
    reward_to_go: tuple[Value, ...]
    """[K] U before the turn less U at the end: needs only these two, so a gap in between does no harm."""
    total: Value
    """U at the beginning less U at the end; 0.0 if nothing was searched, which is a fact and not a gap."""


def turn_gains(uncertainties: Sequence[Value]) -> TurnGains:
    """Gains from the uncertainties U[0..K]: before any evidence, then after each search turn.

    Each U is computed once and stands on both sides, so that the gains telescope: their sum is `total`.

    Raises:
        ShapeError: No uncertainty at all.
        InputError: One that is not finite.
    """
    _check(uncertainties)
    last = uncertainties[-1]
    values = tuple(_drop(before, after) for before, after in pairwise(uncertainties))
    to_go = tuple(_drop(before, last) for before in uncertainties[:-1])
    return TurnGains(values, to_go, to_go[0] if to_go else 0.0)


def fixed_baseline_gains(uncertainties: Sequence[Value]) -> tuple[Value, ...]:
    """[K] U[0] - U[t]: every turn against the belief without evidence.

    Their sum does not telescope: what an early turn brought counts again at each later one.

    Source: project page of dl-m9/InfoReasoner; only for comparison.
    """
    _check(uncertainties)
    return tuple(_drop(uncertainties[0], after) for after in uncertainties[1:])


def trajectory_reward(
    outcome: Value, uncertainties: Sequence[Value], *, weight: float, form: Form, increments: Increments
) -> Value:
    """outcome + weight * (sum, or with `trajectory_mean` the mean, of the gains); the outcome alone without a turn.

    The sum of telescoping gains is `total`, known even where a gain in between is not.
    """
    if isinstance(outcome, Missing) or len(uncertainties) == 1:
        return outcome
    gain = turn_gains(uncertainties).total if increments == "telescoping" else _sum(fixed_baseline_gains(uncertainties))
    if isinstance(gain, Missing):
        return gain
    return outcome + weight * (gain / (len(uncertainties) - 1) if form == "trajectory_mean" else gain)


def _check(uncertainties: Sequence[Value]) -> None:
    if not uncertainties:
        raise ShapeError("turn_gains: needs the uncertainty before the first turn, got an empty sequence")
    for place, value in enumerate(uncertainties):
        if not isinstance(value, Missing) and not abs(value) < float("inf"):
            raise InputError(f"turn_gains: uncertainties must be finite or Missing, got {value} at {place}")


def _drop(before: Value, after: Value) -> Value:
    return _if_known(lambda a, b: a - b, before, after)


def _sum(values: Sequence[Value]) -> Value:
    return _if_known(lambda *known: fsum(known), *values)


def _if_known(function: Callable[..., float], *values: Value) -> Value:
    """The function of the values, or the first that is missing."""
    for value in values:
        if isinstance(value, Missing):
            return value
    return function(*values)
