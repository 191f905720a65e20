"""What a decision needs of a state and what stays the same until the next observation: computed once per observation.

Everything here is a pure function of the stored state, so that a restored state computes the same again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median_low
from typing import TYPE_CHECKING

from gainful.budget.actions import Move
from gainful.budget.axes import MICRO
from gainful.budget.features import chance_of_support, static_features
from gainful.budget.passages import PassageIndex
from gainful.budget.queries import query_texts
from gainful.budget.text import jaccard, tokens
from gainful.budget.types import Cost

if TYPE_CHECKING:
    from gainful.budget.config import ControllerConfig
    from gainful.budget.memory import StepUse
    from gainful.budget.state import SearchState

__all__ = ["Digest", "digest", "num_needed"]


@dataclass(frozen=True)
class Digest:
    """Features that neither clock nor spending changes, and the searches they suggest."""

    features: Mapping[str, float] = field(default_factory=dict)
    support: float = 0.0
    searches: tuple[Move, ...] = ()
    """One per query and tool in order of preference, queries that were searched before included."""
    repeated: frozenset[str] = frozenset()
    """Those of these queries that are too similar to an earlier one."""
    hop: int = 0
    """Index into the tables by hop: searches that brought news, or filled slots if these are more (ours)."""
    p_open: float = 0.0
    """Compositionality before the first search, then the share of facts that are still open."""
    expected: Mapping[str, Cost] = field(default_factory=dict)
    """Median use of finished steps by kind, of any tool; priors where there were none."""


def digest(state: "SearchState", index: Mapping[str, PassageIndex]) -> Digest:
    """See `Digest`."""
    needed = num_needed(state)
    filled = sum(slot.status == "filled" for slot in state.slots)
    features = static_features(state, index, filled / needed)
    similarity = {text: (purpose, _similarity(state, text)) for purpose, text in query_texts(state, index)}
    return Digest(
        features=features,
        support=chance_of_support(features, state.config),
        searches=tuple(
            Move(kind="SEARCH", query=text, purpose=purpose, tool=tool, novelty=1 - similar)
            for text, (purpose, similar) in similarity.items()
            for tool in state.tools
        ),
        repeated=frozenset(text for text, (_, similar) in similarity.items() if similar >= state.config.repeat_from),
        hop=max(filled, sum(query.num_new > 0 for query in state.queries)),
        p_open=1 - filled / needed if state.num_searches else state.form.compositionality,
        expected=_expected(state.uses, state.config),
    )


def num_needed(state: "SearchState") -> int:
    """Facts the question needs: as many as its form suggests, or as are known by now."""
    return max(len(state.slots), state.form.hops(state.config))


def _similarity(state: "SearchState", text: str) -> float:
    """Largest Jaccard similarity to an earlier query."""
    return max((jaccard(tokens(text), query.terms) for query in state.queries), default=0.0)


def _expected(uses: "list[StepUse]", config: "ControllerConfig") -> dict[str, Cost]:
    """Lower medians, so that they are values that really occurred."""
    priors = {
        "SEARCH": Cost(tool_calls=1),
        "DECOMPOSE": Cost(
            llm_calls=1, output_tokens=config.expected_propose_tokens, input_tokens=config.expected_input_tokens
        ),
        "ANSWER": Cost(
            llm_calls=1, output_tokens=config.expected_answer_tokens, input_tokens=config.expected_input_tokens
        ),
    }
    return {kind: _median([use for use in uses if use.kind == kind], prior) for kind, prior in priors.items()}


def _median(uses: "list[StepUse]", prior: Cost) -> Cost:
    if not uses:
        return prior
    return prior.model_copy(
        update={
            "output_tokens": median_low(use.output_tokens for use in uses),
            "input_tokens": median_low(use.input_tokens for use in uses),
            "seconds": median_low(use.elapsed for use in uses) / MICRO,
        }
    )
