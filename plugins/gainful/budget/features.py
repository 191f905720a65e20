"""The features, all in [0, 1], and the chance of being right that follows from them. None reads a data set's fields."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gainful.budget.passages import PassageIndex
from gainful.budget.spans import has_type
from gainful.budget.text import content_terms, idf, normalise, occurs, share_covered, tokens

if TYPE_CHECKING:
    from gainful.budget.config import ControllerConfig
    from gainful.budget.memory import Candidate
    from gainful.budget.state import SearchState

__all__ = [
    "SUPPORT_FEATURES",
    "best_passage",
    "candidate_support",
    "chance_of_support",
    "covers_slot",
    "static_features",
]

SUPPORT_FEATURES = ("slots_filled", "cand_overlap", "cand_agree", "type_match", "done_claim", "q_cov")
"""In the order of `ControllerConfig.support_weights`."""


def static_features(state: "SearchState", index: Mapping[str, PassageIndex], slots_filled: float) -> dict[str, float]:
    """All features but those of budget and query, by name."""
    best, coverage = best_passage(state.form.terms, index)
    candidate = state.candidates[-1] if state.candidates else None
    return {
        "slots_filled": slots_filled,
        "cand_overlap": candidate.support if candidate else 0.0,
        "cand_agree": float(_agree(state.candidates)),
        "type_match": float(_type_matches(state, candidate, index.get(best))),
        "done_claim": float(state.claims_done),
        "q_cov": coverage,
        "p_comp": state.form.compositionality,
        "margin": _margin(state),
        "bridge_open": float(_bridge_open(state)),
        "loop": min(1.0, state.dry / 2),
        "critic_delta": _critic_change(state.critic_scores),
    }


def chance_of_support(features: Mapping[str, float], config: "ControllerConfig") -> float:
    """s = sigmoid(w0 + w . x)."""
    weighted = zip(config.support_weights, SUPPORT_FEATURES, strict=True)
    return 1 / (1 + math.exp(-(config.support_bias + math.fsum(w * features[name] for w, name in weighted))))


def best_passage(terms: frozenset[str], index: Mapping[str, PassageIndex]) -> tuple[str, float]:
    """Id of the passage that covers most of `terms`, weighted by idf over the evidence, and the share it covers.

    The first of several; an empty id and 0 without evidence.
    """
    weights = idf((passage.words for passage in index.values()), terms)
    shares = {name: share_covered(weights, passage.words) for name, passage in index.items()}
    best = max(shares, key=lambda name: shares[name], default="")
    return best, shares.get(best, 0.0)


def candidate_support(answer: str, index: Mapping[str, PassageIndex]) -> float:
    """Largest share of the answer's words inside one passage."""
    weights = dict.fromkeys(tokens(answer), 1.0)
    return max((share_covered(weights, passage.words) for passage in index.values()), default=0.0)


def covers_slot(text: str, passage: PassageIndex, config: "ControllerConfig") -> bool:
    """A slot that needs no proposal: the passage has enough of its terms, and a span of the type asked for."""
    weights = dict.fromkeys(content_terms(text), 1.0)
    return passage.has_type and share_covered(weights, passage.words) >= config.covered_from


def _agree(candidates: "Sequence[Candidate]") -> bool:
    """The last two candidates are the same answer."""
    return len(candidates) > 1 and normalise(candidates[-1].answer) == normalise(candidates[-2].answer)


def _type_matches(state: "SearchState", candidate: "Candidate | None", best: PassageIndex | None) -> bool:
    if candidate:
        return has_type(state.form.kind, candidate.answer, state.question)
    return best is not None and best.has_type


def _margin(state: "SearchState") -> float:
    """Gap between the two best scores of the last search that found anything, over the best; 1 / number without scores.

    A retriever with one result has a margin of 1 (ours).
    """
    last = [passage for passage in state.evidence if passage.query == state.evidence[-1].query]
    scores = sorted((passage.score for passage in last if passage.score is not None), reverse=True)
    if not last or len(scores) < len(last) or len(last) == 1:
        return 1 / len(last) if last else 0.0
    return min(1.0, (scores[0] - scores[1]) / abs(scores[0])) if scores[0] else 0.0


def _bridge_open(state: "SearchState") -> bool:
    """The pending sub-question names what a slot has just been filled with."""
    filled = [slot.value for slot in state.slots if slot.status == "filled" and slot.value]
    return bool(state.pending and filled and occurs(filled[-1], state.pending))


def _critic_change(scores: Sequence[float]) -> float:
    """Rise of the critic's score at the last step, never its level: self-scores are inflated."""
    return max(0.0, scores[-1] - scores[-2]) if len(scores) > 1 else 0.0
