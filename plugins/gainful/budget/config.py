"""Every constant of the controller, with where it comes from."""

import json
from typing import Any, Literal, cast, get_args

from pydantic import Field

from gainful.budget.hashing import short_hash
from gainful.config import Options

__all__ = ["ControllerConfig", "Origin", "origins"]

Origin = Literal["paper", "paper-shape", "peer", "ours-start", "tuned"]
"""paper: its value. paper-shape: its formula, our number. peer: another paper's value. tuned: fitted on tuning data."""


def _ours(default: Any, origin: Origin = "ours-start", **checks: Any) -> Any:
    return Field(default=default, json_schema_extra={"origin": origin}, **checks)


class ControllerConfig(Options):
    """Constants of ledger, features, value, choice, guards and finalizer.

    The paper prints none of the numbers below, so none is the paper's: they are ours until a tuning run replaces them.
    """

    # value of an action
    shadow_price: float = _ours(0.02, origin="tuned", ge=0)
    """lambda0: scale of the price of budget, in expected score."""
    shadow_power: float = _ours(1.0, ge=0)
    """alpha: how steeply the price rises as the scarce axis runs out; 1 echoes BAVT's 1/r."""
    shadow_price_max: float = _ours(1.0, ge=0)
    """lambda_max: the price when nothing is left."""
    score_floor: float = _ours(0.05, gt=0)
    """eps: the least denominator of a score."""
    other_axes_weight: float = _ours(0.25, ge=0)
    """kappa: weight of the axes that are not the scarcest."""
    min_utility: float = _ours(0.0, origin="tuned")
    """delta: a search or a proposal must be worth more than this, else the answer is given."""
    dry_decay: float = _ours(0.5, ge=0, le=1)
    """gamma: what a search is still worth after one that brought nothing new."""
    bridge_bonus: float = _ours(0.1, origin="tuned", ge=0)
    """beta_bridge: for searching a concrete proposed sub-question."""
    loop_malus: float = _ours(0.10, ge=0)
    """beta_loop: against searching on when searches bring nothing new."""
    repeat_malus: float = _ours(0.0, origin="tuned", ge=0)
    """beta_rep: against each further proposal without new evidence in between."""
    early_answer_penalty: float = _ours(0.20, ge=0)
    """Under `scoring="ratio"`: taken off the value of answering."""
    critic_weight: float = _ours(0.20, ge=0)
    """Of the change of a critic's score, in the value model `critic`."""
    support_bias: float = _ours(-0.77, origin="tuned")
    """w0 of the chance that answering now is right."""
    support_weights: tuple[float, float, float, float, float, float] = _ours(
        (0.27, 0.0, 0.0, 0.04, 0.0, 3.02), origin="tuned"
    )
    """w for slots_filled, cand_overlap, cand_agree, type_match, done_claim, q_cov."""
    proposed_by_hop: tuple[float, ...] = _ours((0.97, 0.92, 0.55), origin="tuned", min_length=1)
    """Q_next: chance that the proposed sub-question finds the next missing passage, by hop."""
    free_by_hop: tuple[float, ...] = _ours((0.97, 0.72, 0.14), origin="tuned", min_length=1)
    """Q_alt: chance that the best query without a proposal finds it, by hop."""
    scoring: Literal["two_level", "ratio"] = _ours("two_level")
    """Optimal stopping over search and proposal, or the paper's three-way ratio."""
    bundle_followup: bool = _ours(True)
    """Count the search that must follow a proposal into the proposal's cost."""

    # features
    single_factor_below: float = _ours(0.0, origin="tuned", ge=0, le=1)
    """Questions less compositional than this ask for one fact: one hop, no proposals."""
    two_factor_below: float = _ours(0.7, origin="tuned", ge=0, le=1)
    """Questions less compositional than this take two hops, others three."""
    nested_cue: float = _ours(0.35, ge=0, le=1)
    """Compositionality of nested of, whose, that, who."""
    comparison_cue: float = _ours(0.40, ge=0, le=1)
    """Compositionality of comparison words."""
    names_cue: float = _ours(0.20, ge=0, le=1)
    """Compositionality of two or more names."""
    predicates_cue: float = _ours(0.30, ge=0, le=1)
    """Compositionality of two predicates."""
    covered_from: float = _ours(1.0, origin="tuned", ge=0, le=1)
    """cov_fill: the share of terms from which on a passage covers a slot or the question."""

    # queries
    stem_letters: int = _ours(5, ge=1)
    """Words alike in so many first letters count as forms of one word, such as director and directed."""
    full_name_bonus: float = _ours(0.3, ge=0)
    """Of a name of two words or more, beside a closeness of at most 1 to a word of the question."""
    bridges_per_anchor: int = _ours(2, ge=1)
    """Names that a free query takes from each passage that the question names."""
    grounded_from: float = _ours(0.5, ge=0, le=1)
    """A proposed query is not searched if less of what it names stands in question and evidence."""

    # guards
    repeat_from: float = _ours(0.8, gt=0, le=1)
    """jaccard_max: a query this similar to an earlier one is not searched."""
    weak_support: float = _ours(0.35, ge=0, le=1)
    """theta0: with a full budget no answer below this support."""
    max_proposals: int = _ours(6, ge=0)
    """n_dec_max: proposals in a run."""
    max_steps: int = _ours(20, ge=0)
    """Searches in a run that has no limit on tool calls."""

    # caps and reserves
    reserve_share: float = _ours(0.15, ge=0, le=1)
    """Share of a limit that is held for the answer: output tokens, input tokens, money."""
    reserve_floor_tokens: int = _ours(24, ge=0)
    """Least output tokens held for the answer, if the limit has them."""
    answer_time_share: float = _ours(0.20, ge=0, le=1)
    """Share of `seconds` that is held for the answer."""
    min_step_tokens: int = _ours(16, ge=1)
    """A model call before the answer with a smaller cap would only be cut."""
    propose_cap: int = _ours(48, ge=1)
    """Output tokens of a proposal."""
    critic_cap: int = _ours(16, ge=1)
    """Output tokens of a critic call."""
    answer_cap: int = _ours(256, ge=1)
    """Output tokens of the answer when the budget does not limit them."""
    propose_input_cap: int = _ours(2000, ge=1)
    """Input tokens of a proposal or a critic call, when input tokens or money are limited."""
    answer_input_cap: int = _ours(8000, ge=1)
    """Input tokens of the answer, when input tokens or money are limited."""
    input_margin: float = _ours(1.10, ge=1)
    """An adapter multiplies its own count of input tokens by this before it compares it with a cap."""
    expected_propose_tokens: int = _ours(24, ge=0)
    """Output tokens of a proposal before one was seen."""
    expected_answer_tokens: int = _ours(24, ge=0)
    """Output tokens of an answer, for `scoring="ratio"`."""
    expected_input_tokens: int = _ours(600, ge=0)
    """Input tokens of a model call before one was seen."""

    # memory
    max_evidence: int = _ours(50, ge=1)
    """Passages kept; later ones are dropped and counted."""
    passages_per_search: int = _ours(5, ge=1)
    """k: passages an adapter asks a retriever for."""
    max_text_chars: int = _ours(8000, ge=1)
    """Longer passages, replies and questions are cut before anything is computed from them."""

    # answer
    extract: bool = _ours(False)
    """Without an answer or candidate, commit a span of the top passage; a weak answerer, so off."""
    closed_book: bool = _ours(False)
    """Ask for an answer also when no evidence was found; off, the run abstains."""

    # finalizer
    harm_weight: float = _ours(3.0, ge=0)
    """eta: how much more a broken answer weighs than a fixed one."""
    min_net_gain: float = _ours(0.02)
    """tau: the least F = G - eta H at which an answer is replaced."""
    min_class_cases: int = _ours(20, ge=1)
    """A class counted on fewer tuning cases stays off."""
    class_counts: dict[str, tuple[int, int, int]] = _ours({})
    """Cases, fixed and broken per class, as counted on tuning data; a class that is not here stays off."""

    @property
    def config_hash(self) -> str:
        """Names this set of constants in traces and result files."""
        return short_hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))


def origins() -> dict[str, Origin]:
    """Where each constant comes from, by field.

    Raises:
        TypeError: A field carries no known origin.
    """
    found: dict[str, Origin] = {}
    for name, field in ControllerConfig.model_fields.items():
        extra = field.json_schema_extra
        origin = extra.get("origin") if isinstance(extra, dict) else None
        if origin not in get_args(Origin):
            raise TypeError(f"ControllerConfig.{name}: expected an origin of {get_args(Origin)}, found {origin!r}")
        found[name] = cast(Origin, origin)
    return found
