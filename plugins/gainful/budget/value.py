"""What an action is worth: the gain in expected final score, 0 to 1. Preferences only; nothing here can spend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import Field

from gainful.budget.actions import LLMRequest, Move
from gainful.budget.config import ControllerConfig
from gainful.budget.digest import Digest
from gainful.budget.hashing import uniform
from gainful.budget.memory import Candidate, Evidence, Query, Slot
from gainful.budget.prices import PriceTable
from gainful.budget.types import Record
from gainful.config import Options

__all__ = [
    "ConstantOptions",
    "ConstantValue",
    "CriticValue",
    "HeuristicValue",
    "NoOptions",
    "RandomOptions",
    "RandomValue",
    "StateView",
    "ValueEstimate",
    "ValueModel",
]


class ValueEstimate(Record):
    """Value of one action before the price of its budget; clipped to [-1, 1] by the controller."""

    delta: float
    """Progress that it promises."""
    psi: float = 0.0
    """What the structure of the run adds or takes."""
    parts: Mapping[str, float] = Field(default_factory=dict)
    """Anything worth showing in a trace."""


@dataclass(frozen=True, slots=True)
class StateView:
    """What value and cost models see of a run: nothing that they could change, and no ledger."""

    question: str
    config: ControllerConfig
    slots: Sequence[Slot]
    evidence: Sequence[Evidence]
    queries: Sequence[Query]
    candidates: Sequence[Candidate]
    pending: str | None
    step: int
    num_searches: int
    num_proposals: int
    proposals_since_new: int
    dry: int
    critic_scores: Sequence[float]
    digest: Digest
    left: Mapping[str, int]
    """Per limited axis what is left, in the ledger's integers, the answer's reserve included."""
    prices: PriceTable | None


class ValueModel(Protocol):
    """A preference. An instance serves many runs, so it keeps nothing of them; the same view gives the same value."""

    name: str

    def request(self, view: StateView) -> LLMRequest | None:
        """A model call that would help with the next values; None for none. At most one per step, under the ledger.

        Its reply arrives as `view.critic_scores`: the first number of 0 to 100 in it, as a share.
        """

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        """Value of one move. An exception, nan or infinity puts the built-in model in its place for that step."""


class NoOptions(Options):
    """A model without options of its own; its constants are the controller's."""


class HeuristicValue:
    """The default: explicit features, fixed coefficients, no model call.

        delta(SEARCH)    = (1 - s) * open * novelty * gamma^dry * Q(hop)
        delta(DECOMPOSE) = (1 - s) * open * Q_next(hop), the search that follows included
        psi(SEARCH)      = beta_bridge if it is a proposed sub-question, less beta_loop * loop
        psi(DECOMPOSE)   = - beta_rep * proposals since the last new evidence
        delta(ANSWER)    = s less the penalty for answering early; compared only under `scoring="ratio"`

    open = max(p_open, 1 - s). Q is Q_next for a proposed sub-question and Q_alt for any other query: both are chances
    to find a passage that is still missing, so that a proposal and a search are valued in one unit and only the price
    of the proposal's tokens stands between them. A proposal is worth nothing while an earlier one waits to be searched.

    Source: the form of arXiv 2605.05701; terms and constants are ours.
    """

    name = "heuristic"

    def __init__(self, options: NoOptions | None = None) -> None:
        """Takes options as registered models do; its constants come with the view."""

    def request(self, view: StateView) -> LLMRequest | None:
        """None: it asks nobody."""
        return None

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        """See the class."""
        if move.kind == "SEARCH":
            return self._search(view, move, features["loop"])
        if move.kind == "DECOMPOSE":
            return self._decompose(view)
        return ValueEstimate(delta=view.digest.support - view.config.early_answer_penalty)

    def _search(self, view: StateView, move: Move, loop: float) -> ValueEstimate:
        config, proposed = view.config, move.purpose == "pending"
        finds = _at_hop(config.proposed_by_hop if proposed else config.free_by_hop, view.digest.hop)
        delta = _missing(view) * move.novelty * config.dry_decay**view.dry * finds
        bonus = config.bridge_bonus if proposed else 0.0
        return ValueEstimate(delta=delta, psi=bonus - config.loop_malus * loop, parts={"finds": finds})

    def _decompose(self, view: StateView) -> ValueEstimate:
        finds = _at_hop(view.config.proposed_by_hop, view.digest.hop)
        delta = 0.0 if view.pending else _missing(view) * finds
        psi = -view.config.repeat_malus * view.proposals_since_new
        return ValueEstimate(delta=delta, psi=psi, parts={"finds": finds})


class CriticValue(HeuristicValue):
    """Like the paper's backbone: a prompted critic rates the progress, one short charged call per step.

    Only the rise of its score counts, `critic_weight` of it, for searching on (ours): the level is inflated.
    """

    name = "critic"

    def request(self, view: StateView) -> LLMRequest | None:
        """Ask for a rating once there is evidence to rate."""
        if not view.evidence:
            return None
        titles = "\n".join(
            f"- {passage.title}: {passage.text}" for passage in view.evidence[-view.config.passages_per_search :]
        )
        prompt = (
            f"Question: {view.question}\nPassages:\n{titles}\n"
            "How much of what is needed to answer is in the passages? Reply with one number from 0 to 100."
        )
        return LLMRequest(prompt=prompt, max_output_tokens=view.config.critic_cap)

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        """The heuristic value, and for a search a share of the critic's last rise."""
        estimate = super().value(view, move, features)
        if move.kind != "SEARCH":
            return estimate
        rise = view.config.critic_weight * features["critic_delta"]
        return estimate.model_copy(update={"delta": estimate.delta + rise})


class ConstantOptions(Options):
    """Options of `constant`."""

    delta: float = Field(default=1.0, ge=-1, le=1)
    """Value of every action (ours)."""


class ConstantValue:
    """A baseline: all actions are worth the same, so cost and guards alone decide."""

    name = "constant"

    def __init__(self, options: ConstantOptions | None = None) -> None:
        self._estimate = ValueEstimate(delta=(options or ConstantOptions()).delta)

    def request(self, view: StateView) -> LLMRequest | None:
        """None: it asks nobody."""
        return None

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        """The constant."""
        return self._estimate


class RandomOptions(Options):
    """Options of `random`."""

    seed: int = 0
    """Another seed, other values."""


class RandomValue:
    """A baseline: uniform values in [0, 1), drawn by hashing seed, question, step and move, so that runs repeat."""

    name = "random"

    def __init__(self, options: RandomOptions | None = None) -> None:
        self._seed = (options or RandomOptions()).seed

    def request(self, view: StateView) -> LLMRequest | None:
        """None: it asks nobody."""
        return None

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        """The same for the same step of the same question."""
        channel = f"{self._seed}\n{view.step}\n{move.kind}\n{move.query}\n{view.question}"
        return ValueEstimate(delta=uniform(channel))


def _missing(view: StateView) -> float:
    """(1 - s) * open: what a missing passage would be worth."""
    wrong = 1 - view.digest.support
    return wrong * max(view.digest.p_open, wrong)


def _at_hop(table: Sequence[float], hop: int) -> float:
    """The last entry holds for all later hops."""
    return table[min(hop, len(table) - 1)]
