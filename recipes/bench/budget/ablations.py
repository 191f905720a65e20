"""The controller with one idea taken out. It reaches into how a decision is made; nothing else should."""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

from gainful.budget import ControllerConfig
from gainful.budget.actions import Decision, Move, Option
from gainful.budget.choice import _Scorer
from gainful.budget.controller import Controller
from gainful.budget.feasible import check_feasible
from gainful.budget.guards import Verdict, _feasibility, _repetition
from gainful.budget.scoring import shadow_price, shares_left
from gainful.budget.state import SearchState

_HALF = 0.5
"""Pressure at which the constant price is taken: the price of the varying one half-way through a budget (ours)."""


class AblatedController(Controller):
    """Decides without the part that `ablation` names; accounts and guards of the ledger are untouched."""

    def __init__(self, config: ControllerConfig, ablation: str) -> None:
        super().__init__(config=config)
        self.ablation = ablation

    def decide(self, state: SearchState, now: float) -> Decision:
        name, _, what = self.ablation.partition(" ")
        scorer = {"no guards": _Unguarded, "no division": _Undivided}.get(self.ablation, _Scorer)
        made = scorer(state, now, self.value_model, self.cost_model)
        if name == "hide":
            _hide(made, what)
        elif self.ablation == "mean pressure":
            shares = shares_left(made.left, made.limits)
            _press(made, 1 - fmean(shares.values()))
        elif self.ablation == "constant price":
            made.price = shadow_price(_HALF, state.config)
        if self.ablation == "no bridge":
            return _without_bridge(state, made.decision)
        return made.decision()


class _Unguarded(_Scorer):
    """Only what fits and no query twice: without these a run would not end."""

    def decision(self) -> Decision:
        verdict = Verdict()
        _feasibility(verdict, check_feasible(self.state, self.now))
        _repetition(verdict, self.state, check_feasible(self.state, self.now))
        if self.state.last_kind == "DECOMPOSE":
            verdict.drop("DECOMPOSE", "proposals", "one was just made")
        options = self._options(verdict)
        move, forced = self._best(options, verdict)
        return self._decision(move, verdict, options, forced=forced)


class _Undivided(_Scorer):
    def _score(self, move: Move) -> Option:
        option = super()._score(move)
        return option.model_copy(update={"d": 1.0, "r": max(option.u, 0.0)})


def _hide(scorer: _Scorer, axis: str) -> None:
    """The scores do not see the axis; the ledger still does."""
    scorer.limits = {name: limit for name, limit in scorer.limits.items() if name != axis}
    scorer.left = {name: left for name, left in scorer.left.items() if name != axis}
    _press(scorer, 1 - min(shares_left(scorer.left, scorer.limits).values()))


def _press(scorer: _Scorer, rho: float) -> None:
    scorer.rho, scorer.price = rho, shadow_price(rho, scorer.state.config)


def _without_bridge(state: SearchState, decide: Callable[[], Decision]) -> Decision:
    """Decide on a digest that has no such query."""
    whole = state._digest
    state._digest = replace(whole, searches=tuple(move for move in whole.searches if move.purpose != "bridge"))
    try:
        return decide()
    finally:
        state._digest = whole
