"""From a state to a decision: features, guards, scores, the best move. Pure; the same state and time decide alike."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gainful.budget.actions import Decision, Kind, LLMRequest, Move, Option
from gainful.budget.costs import CostModel, RunningMedianCost
from gainful.budget.feasible import check_feasible
from gainful.budget.guards import Verdict, apply_guards
from gainful.budget.scoring import denominator, penalty, pressure, shadow_price, shares_left
from gainful.budget.steps import model_step_cost
from gainful.budget.types import Cost
from gainful.budget.value import HeuristicValue, StateView, ValueEstimate, ValueModel

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["decide"]

_ORDER: tuple[Kind, ...] = ("SEARCH", "DECOMPOSE", "ANSWER")  # of equal ones the first is taken
_HEURISTIC = HeuristicValue()
_MEDIAN = RunningMedianCost()


def decide(state: "SearchState", now: float, value_model: ValueModel, cost_model: CostModel) -> Decision:
    """What to do next; nothing is reserved and nothing changed."""
    return _Scorer(state, now, value_model, cost_model).decision()


class _Scorer:
    """What the parts of one decision share."""

    def __init__(self, state: "SearchState", now: float, value_model: ValueModel, cost_model: CostModel) -> None:
        self.state, self.now = state, now
        self.value_model, self.cost_model = value_model, cost_model
        self.limits = state.ledger.limits
        self.left = state.ledger.left(now)
        shares = shares_left(self.left, self.limits)
        self.rho = pressure(shares.values())
        self.price = shadow_price(self.rho, state.config)
        left = {f"left_{axis}": share for axis, share in shares.items()}
        self.features: dict[str, float] = {**state.digest.features, "rho": self.rho, **left}
        self.warnings: list[str] = []
        self.view = _view(state, self.left)

    def decision(self) -> Decision:
        threshold = self.state.config.weak_support * (1 - self.rho)
        verdict = apply_guards(self.state, self.features, check_feasible(self.state, self.now), threshold)
        request = self._request(verdict)
        if request:
            return self._decision(Move(kind="CRITIQUE"), verdict, [], request=request)
        options = self._options(verdict)
        move, forced = self._best(options, verdict)
        return self._decision(move, verdict, options, forced=forced)

    def _options(self, verdict: Verdict) -> list[Option]:
        """All moves with their scores. Later queries are scored too, for the trace; the first new one is searched."""
        moves = [*verdict.searches, *verdict.other_searches]
        if "DECOMPOSE" in verdict.allowed:
            moves.append(Move(kind="DECOMPOSE"))
        if self.state.config.scoring == "ratio":
            moves.append(Move(kind="ANSWER"))
        return [self._score(move) for move in moves]

    def _score(self, move: Move) -> Option:
        config, estimate = self.state.config, self._value(move)
        cost = self._cost(move)
        pi = penalty(self.price, cost, self.limits)
        # the answer may draw on what is held for it
        held = {} if move.kind == "ANSWER" else self.state.ledger.held
        raw = denominator(cost, self.left, held, config)
        u = estimate.delta + estimate.psi - pi
        d = raw + config.score_floor if config.scoring == "ratio" else max(config.score_floor, raw)
        return Option(move=move, delta=estimate.delta, psi=estimate.psi, pi=pi, u=u, d=d, r=max(u, 0.0) / d)

    def _best(self, options: list[Option], verdict: Verdict) -> tuple[Move, bool]:
        """The move, and whether guards forced it although it is not worth its price."""
        best = max((option for option in options if self._may(option.move, verdict)), key=_rank, default=None)
        answer = Move(kind="ANSWER")
        if best is None:
            return answer, False
        is_ratio = self.state.config.scoring == "ratio"
        worth_it = best.r > 0 if is_ratio else best.u > self.state.config.min_utility
        if not worth_it and "ANSWER" in verdict.allowed:
            return answer, False
        return best.move, not worth_it

    def _may(self, move: Move, verdict: Verdict) -> bool:
        return move.kind in verdict.allowed and (move.kind != "SEARCH" or move in verdict.searches)

    def _decision(
        self,
        move: Move,
        verdict: Verdict,
        options: list[Option],
        *,
        forced: bool = False,
        request: LLMRequest | None = None,
    ) -> Decision:
        return Decision(
            step=self.state.step,
            kind=move.kind,
            move=move,
            elapsed=self.state.ledger.elapsed(self.now),
            features=self.features,
            support=self.state.digest.support,
            pressure=self.rho,
            shadow_price=self.price,
            options=tuple(options),
            guards=tuple(verdict.notes),
            forced=forced,
            reason=verdict.reason,
            request=request,
            warnings=tuple(self.warnings),
        )

    # plug-ins: whatever they do, the run goes on

    def _value(self, move: Move) -> ValueEstimate:
        try:
            estimate = self.value_model.value(self.view, move, dict(self.features))
            if math.isfinite(estimate.delta) and math.isfinite(estimate.psi):
                return _clipped(estimate)
            self._warn(self.value_model, f"value of {move.kind} is not finite")
        except Exception as error:
            self._warn(self.value_model, f"value of {move.kind}: {type(error).__name__}")
        return _clipped(_HEURISTIC.value(self.view, move, self.features))

    def _cost(self, move: Move) -> Mapping[str, int]:
        try:
            return self.state.ledger.priced(self.cost_model.estimate(self.view, move))
        except Exception as error:
            self._warn(self.cost_model, f"cost of {move.kind}: {type(error).__name__}")
        return self.state.ledger.priced(_MEDIAN.estimate(self.view, move))

    def _request(self, verdict: Verdict) -> LLMRequest | None:
        """The value model's call, if it wants one, one fits, and there is anything to choose from."""
        if self.state.critiqued or verdict.allowed == ["ANSWER"]:
            return None
        try:
            request = self.value_model.request(self.view)
        except Exception as error:
            self._warn(self.value_model, f"request: {type(error).__name__}")
            return None
        if not isinstance(request, LLMRequest):
            return None
        ledger, config = self.state.ledger, self.state.config
        cost = model_step_cost(ledger, ledger.room("critique", self.now), config.critic_cap, config)
        fits = isinstance(cost, Cost) and ledger.check(cost, "critique", self.now) is None
        return request if fits else None

    def _warn(self, model: ValueModel | CostModel, what: str) -> None:
        self.warnings.append(f"{getattr(model, 'name', type(model).__name__)}: {what}; the built-in model stands in")


def _rank(option: Option) -> tuple[float, float, int]:
    """By r, then u, then order."""
    return option.r, option.u, -_ORDER.index(option.move.kind)


def _clipped(estimate: ValueEstimate) -> ValueEstimate:
    delta, psi = (min(1.0, max(-1.0, value)) for value in (estimate.delta, estimate.psi))
    if (delta, psi) == (estimate.delta, estimate.psi):
        return estimate
    return ValueEstimate(delta=delta, psi=psi, parts=estimate.parts)


def _view(state: "SearchState", left: Mapping[str, int]) -> StateView:
    return StateView(
        question=state.question,
        config=state.config,
        slots=tuple(state.slots),
        evidence=tuple(state.evidence),
        queries=tuple(state.queries),
        candidates=tuple(state.candidates),
        pending=state.pending,
        step=state.step,
        num_searches=state.num_searches,
        num_proposals=state.num_proposals,
        proposals_since_new=state.proposals_since_new,
        dry=state.dry,
        critic_scores=tuple(state.critic_scores),
        digest=state.digest,
        left=dict(left),
        prices=state.ledger.prices,
    )
