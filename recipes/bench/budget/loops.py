"""Baselines without a framework: plain loops over the same ledger, prompts, caps and retriever as everything else."""

from collections.abc import Callable, Sequence
from typing import Any

from data import Passage
from model import RATE, SimulatedLLM
from pool import PoolRetriever

from gainful.budget import ANSWER, Budget, ControllerConfig, Cost, Ledger, Refusal, Usage
from gainful.budget.hashing import uniform
from gainful.budget.proposal import Proposal, parse_critic_score, parse_proposal
from gainful.budget.steps import answer_cost, model_step_cost, search_cost
from gainful_llamaindex.prompts import ANSWER_PROMPT, PROPOSE_PROMPT, numbered

_CONFIG = ControllerConfig()
_NEXT = "Last line: NEXT: "
MAY_STOP = PROPOSE_PROMPT.template.replace(_NEXT, "Last line, if the passages give the answer: DONE: <it>, else NEXT: ")
"""The shipped prompt with a way out."""


class Desk:
    """One run: every step is reserved before and settled after, and refused with None where it does not fit."""

    def __init__(self, question: str, budget: Budget, retriever: PoolRetriever, llm: SimulatedLLM) -> None:
        self.question, self.retriever, self.llm = question, retriever, llm
        self.ledger = Ledger(budget, now=0.0, config=_CONFIG)

    def can_search(self) -> bool:
        return self.ledger.check(self._search_cost(), "search") is None

    def search(self, query: str, read: Sequence[Passage] = (), k: int | None = None) -> list[Passage] | None:
        """What was read before and what the query found."""
        held = self.ledger.reserve(self._search_cost(), "search")
        if isinstance(held, Refusal):
            return None
        found = self.retriever.passages(query, k)
        self.ledger.settle(held.id, Usage(tool_calls=1))
        return list({passage.id: passage for passage in [*read, *found]}.values())

    def propose(self, read: Sequence[Passage], *, may_stop: bool) -> Proposal | None:
        """Only if a search could follow."""
        template = MAY_STOP if may_stop else PROPOSE_PROMPT.template
        prompt = template.format(passages=numbered(read), facts="nothing", question=self.question)
        text = self._say(prompt, "propose", _CONFIG.propose_cap) if self.can_search() else None
        return None if text is None else parse_proposal(text)

    def plan(self, number: int) -> list[str]:
        """All queries at once, before anything was read; each costs a proposal."""
        queries: list[str] = []
        while len(queries) < number:
            proposal = self.propose((), may_stop=False)
            if proposal is None:
                break
            queries.append(proposal.next_query)
        return [query for query in queries if query]

    def rate(self, read: Sequence[Passage]) -> float | None:
        prompt = RATE.format(passages=numbered(read), question=self.question)
        text = self._say(prompt, "critique", _CONFIG.critic_cap)
        return None if text is None else parse_critic_score(text)

    def answer(self, read: Sequence[Passage]) -> str:
        """Empty if it cannot be paid."""
        cost = answer_cost(self.ledger, 0.0, _CONFIG)
        prompt = ANSWER_PROMPT.format(passages=numbered(read), facts="nothing", question=self.question)
        return (self._ask(prompt, ANSWER, cost) or "").strip()

    def share_left(self) -> float:
        """Of the scarcer axis."""
        limits, left = self.ledger.limits, self.ledger.left(0.0)
        return min((left[axis] / limit for axis, limit in limits.items() if limit), default=0.0)

    def _search_cost(self) -> Cost:
        return search_cost(self.ledger, self.ledger.room("search"), "search")

    def _say(self, prompt: str, purpose: str, cap: int) -> str | None:
        return self._ask(prompt, purpose, model_step_cost(self.ledger, self.ledger.room(purpose), cap, _CONFIG))

    def _ask(self, prompt: str, purpose: str, cost: Cost | Refusal) -> str | None:
        held = cost if isinstance(cost, Refusal) else self.ledger.reserve(cost, purpose)
        if isinstance(held, Refusal):
            return None
        text, used = self.llm.say(prompt, held.amounts["output_tokens"])
        self.ledger.settle(held.id, Usage(output_tokens=used, llm_calls=1))
        return text


Loop = Callable[[Desk, dict[str, Any]], str]


def one_shot(desk: Desk, knobs: dict[str, Any]) -> str:
    """One search with the question."""
    return desk.answer(desk.search(desk.question, k=knobs["passages"]) or ())


def searches(desk: Desk, knobs: dict[str, Any]) -> str:
    """Up to `number` searches with next-hop proposals, then the answer; spend-all where there is no number."""
    read: list[Passage] = []
    number = knobs.get("number") or desk.ledger.limits["tool_calls"]
    if knobs["first"] == "question":
        read, number = desk.search(desk.question) or [], number - 1
    while number > 0:
        proposal = desk.propose(read, may_stop=knobs["may_stop"])
        if proposal is None or proposal.done:
            break
        if proposal.next_query:
            read, number = desk.search(proposal.next_query, read) or read, number - 1
    return desk.answer(read[-knobs["shown"] :])


def static_plan(desk: Desk, knobs: dict[str, Any]) -> str:
    """The question and then queries that were all written before anything was read."""
    queries = desk.plan(desk.ledger.limits["tool_calls"] - 1)
    read: list[Passage] = []
    for query in [desk.question, *queries]:
        read = desk.search(query, read) or read
    return desk.answer(read)


def tree(desk: Desk, knobs: dict[str, Any]) -> str:
    """BAVT-like: grow a node drawn with P ~ V^(1/r), r the share left; answer from the node that the critic likes most.

    The critic's residuals along a path add up to its score of the node, so the score is V.
    """
    nodes: list[tuple[float, list[Passage]]] = [(0.5, [])]
    if knobs["first"] == "question":
        nodes.append(_rated(desk, desk.search(desk.question) or []))
    for turn in range(2 * desk.ledger.limits["tool_calls"]):
        _, read = _drawn(nodes, desk.share_left(), f"{knobs['seed']}\n{desk.question}\ntree\n{turn}")
        proposal = desk.propose(read, may_stop=knobs["may_stop"])
        if proposal is None or (proposal.done and read):
            nodes += [(2.0, read)] if proposal else []
            break
        if proposal.next_query:
            nodes.append(_rated(desk, desk.search(proposal.next_query, read) or read))
    return desk.answer(max(nodes[1:] or nodes, key=lambda node: node[0])[1][-knobs["shown"] :])


def _rated(desk: Desk, read: list[Passage]) -> tuple[float, list[Passage]]:
    score = desk.rate(read)
    return (0.5 if score is None else score), read


def _drawn(nodes: list[tuple[float, list[Passage]]], left: float, draw: str) -> tuple[float, list[Passage]]:
    """The root only as long as nothing else is there."""
    candidates = nodes[1:] or nodes
    weights = [max(value, 0.01) ** (1 / max(left, 0.01)) for value, _ in candidates]
    place = uniform(draw) * sum(weights)
    for node, weight in zip(candidates, weights, strict=True):
        place -= weight
        if place < 0:
            return node
    return candidates[-1]
