"""Deterministic guards, in order. They say what may be done; what is best is the scores' business."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gainful.budget.actions import GuardNote, Kind, Move
from gainful.budget.feasible import Feasibility

if TYPE_CHECKING:
    from gainful.budget.state import SearchState

__all__ = ["NO_NEW_QUERY", "SUFFICIENT", "Verdict", "apply_guards", "is_sufficient"]

SUFFICIENT = "sufficient support"
NO_NEW_QUERY = "no new query"


@dataclass
class Verdict:
    """What the guards leave."""

    searches: list[Move] = field(default_factory=list)
    """Searches of the first new query, one per tool that may be called."""
    other_searches: list[Move] = field(default_factory=list)
    """Those of later queries."""
    allowed: list[Kind] = field(default_factory=lambda: ["SEARCH", "DECOMPOSE", "ANSWER"])
    notes: list[GuardNote] = field(default_factory=list)
    reason: str = "value"
    """Why an answer is given, if one is."""

    def drop(self, kind: Kind, name: str, why: str) -> None:
        """Absolute: take `kind` away."""
        if kind in self.allowed:
            self.allowed.remove(kind)
            self.notes.append(GuardNote(name=name, effect=f"{why}: no {kind}"))

    def bar(self, kinds: Sequence[Kind], name: str, why: str) -> bool:
        """Take `kinds` away, unless that would leave nothing: then the guard is skipped, and that is logged."""
        barred = [kind for kind in self.allowed if kind in kinds]
        skipped = len(barred) == len(self.allowed)
        if barred:
            effect = "skipped, nothing else is left" if skipped else f"no {', no '.join(barred)}"
            self.notes.append(GuardNote(name=name, effect=f"{why}: {effect}"))
        if barred and not skipped:
            self.allowed = [kind for kind in self.allowed if kind not in kinds]
        return bool(barred) and not skipped


def apply_guards(
    state: "SearchState", features: Mapping[str, float], feasible: Feasibility, threshold: float
) -> Verdict:
    """Guards 1 to 3 are absolute; 4 to 6 give way where they would leave nothing.

    Args:
        state: The run.
        features: All features of this moment.
        feasible: What the ledger still allows.
        threshold: theta(rho), below which support counts as weak.
    """
    verdict = Verdict()
    _feasibility(verdict, feasible)
    _repetition(verdict, state, feasible)
    _proposals(verdict, state, features)
    if "SEARCH" in verdict.allowed:
        compositional = features["p_comp"] >= state.config.single_factor_below
        if compositional and not state.num_searches:
            verdict.bar(["ANSWER"], "compositional", "nothing was searched")
        if state.digest.support < threshold:
            verdict.bar(["ANSWER"], "weak support", f"s is below {threshold:.2f}")
    if is_sufficient(features, state.config.covered_from) and verdict.bar(
        ["SEARCH", "DECOMPOSE"], SUFFICIENT, "all slots are filled"
    ):
        verdict.reason = SUFFICIENT
    return verdict


def is_sufficient(features: Mapping[str, float], covered_from: float) -> bool:
    """All slots filled, and two of: candidates agree, the model claims to be done, type matches, question covered."""
    signs = [features["cand_agree"], features["done_claim"], features["type_match"]]
    return features["slots_filled"] >= 1 and sum(map(bool, [*signs, features["q_cov"] >= covered_from])) >= 2


def _feasibility(verdict: Verdict, feasible: Feasibility) -> None:
    if not feasible.tools:
        verdict.drop("SEARCH", "feasibility", feasible.why_no_search)
        verdict.reason = feasible.why_no_search
    if not feasible.decompose:
        verdict.drop("DECOMPOSE", "feasibility", feasible.why_no_decompose)


def _repetition(verdict: Verdict, state: "SearchState", feasible: Feasibility) -> None:
    """Leave the searches of the first query that is new."""
    if "SEARCH" not in verdict.allowed:
        return
    repeated = state.digest.repeated
    fresh = [m for m in state.digest.searches if m.query not in repeated and m.tool in feasible.tools]
    verdict.searches = [move for move in fresh if move.query == fresh[0].query]
    verdict.other_searches = [move for move in fresh if move.query != fresh[0].query]
    if repeated:
        verdict.notes.append(GuardNote(name="repetition", effect=f"queries searched before: {len(repeated)}"))
    if not fresh:
        verdict.drop("SEARCH", "repetition", NO_NEW_QUERY)
        verdict.reason = NO_NEW_QUERY


def _proposals(verdict: Verdict, state: "SearchState", features: Mapping[str, float]) -> None:
    if features["p_comp"] < state.config.single_factor_below:
        verdict.drop("DECOMPOSE", "single factor", "the question asks for one fact")
    if state.pending:
        verdict.drop("DECOMPOSE", "proposals", "one waits to be searched")
    if state.num_proposals >= state.config.max_proposals:
        verdict.drop("DECOMPOSE", "proposals", f"{state.num_proposals} were made")
