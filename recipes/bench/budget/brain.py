"""What a simulated model would say, given what it has read. Every draw is a hash, so methods meet the same luck.

A draw is named by (seed, question, channel, slot): the n-th plan of a run has the same luck whatever was done before,
and a question is read rightly or wrongly with the same luck by every method.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from data import Passage, Question
from hops import bridge_answer, reachable_queries
from noise import Noise

from gainful.budget.hashing import uniform
from gainful.budget.spans import answer_type, spans_of
from gainful.budget.text import normalise

ABSTAINS = "I do not know."
_YEAR = re.compile(r"\b\d{4}\b")


@dataclass(frozen=True)
class Plan:
    """Either the next query, with a fact that was found if there is one, or the claim to be done."""

    query: str = ""
    found: str = ""
    done: bool = False


@dataclass
class Brain:
    """The simulated model while it works on one question. It knows the gold, and says what its noise lets it say."""

    question: Question
    noise: Noise
    seed: int
    titles: Sequence[str]
    """Of the whole pool, for queries that are off topic."""
    asked: list[str] = field(default_factory=list)
    num_plans: int = 0
    num_ratings: int = 0

    def draw(self, channel: str, slot: int = 0) -> float:
        """In [0, 1)."""
        return uniform(f"{self.seed}\n{self.question.id}\n{channel}\n{slot}")

    def num_tokens(self, mean: float, channel: str, slot: int) -> int:
        """At least 1."""
        spread = self.noise.token_spread * (2 * self.draw(f"{channel} tokens", slot) - 1)
        return max(1, round(mean * (1 + spread)))

    def plan(self, read: Sequence[Passage], *, may_stop: bool, eager: float = 1.0) -> Plan:
        """The next step.

        Args:
            read: Passages in the prompt.
            may_stop: The prompt lets it claim to be done.
            eager: Factor of its habit to stop before it is ready.
        """
        slot, self.num_plans = self.num_plans, self.num_plans + 1
        ready = self.is_ready(read)
        stops = self.noise.stops_when_ready if ready else eager * self.noise.stops_when_not_ready
        if may_stop and self.draw("stop", slot) < stops:
            return Plan(done=True)
        reachable = [query for query in reachable_queries(self.question, read) if query not in self.asked]
        is_right = bool(reachable) and self.draw("query", slot) < self.noise.right_query
        query = reachable[0] if is_right else self._wrong_query(read, slot)
        self.asked.append(query)
        found = bridge_answer(self.question, {passage.id for passage in read}) if is_right else ""
        return Plan(query=query, found=found)

    def answer(self, read: Sequence[Passage]) -> str:
        """The answer, a wrong one, or an abstention."""
        if self.draw("read") < self.chance(read):
            right = self.question.answers[0]
            return misshapen(right) if self.draw("form") < self.noise.form_error else right
        return ABSTAINS if self.draw("abstain") < self.noise.abstains_when_wrong else self._wrong_answer(read)

    def chance(self, read: Sequence[Passage]) -> float:
        """That the reader is right."""
        gold, known = set(self.question.gold_ids), {passage.id for passage in read}
        noise = self.noise
        if gold <= known:
            chance = noise.right_with_all_gold
        else:
            chance = noise.right_with_some_gold if gold & known else noise.right_with_no_gold
        return chance - noise.loss_per_10_others * len(known - gold) / 10

    def rate(self, read: Sequence[Passage]) -> float:
        """A critic's score of what was read: the share of gold passages, noisy and too high."""
        slot, self.num_ratings = self.num_ratings, self.num_ratings + 1
        known = {passage.id for passage in read}
        share = sum(name in known for name in self.question.gold_ids) / len(self.question.gold_ids)
        luck = NormalDist().inv_cdf(min(1 - 1e-9, max(1e-9, self.draw("critic", slot))))
        return min(1.0, max(0.0, share + self.noise.critic_bias + self.noise.critic_deviation * luck))

    def is_ready(self, read: Sequence[Passage]) -> bool:
        """All gold passages were read."""
        return set(self.question.gold_ids) <= {passage.id for passage in read}

    def _wrong_query(self, read: Sequence[Passage], slot: int) -> str:
        earlier = self.asked or ([self.question.text] if read else [])
        if earlier and self.draw("wrong query", slot) < self.noise.repeats_query:
            return earlier[-1]
        return self.titles[int(self.draw("off topic", slot) * len(self.titles))]

    def _wrong_answer(self, read: Sequence[Passage]) -> str:
        """Of the answer's type and from what was read, so that a wrong answer looks as supported as a right one."""
        right = normalise(self.question.answers[0])
        if right in ("yes", "no"):
            return "no" if right == "yes" else "yes"
        kind = answer_type(self.question.text)
        kind = "name" if kind in ("other", "choice", "yes_no") else kind
        spans = [span for passage in read for span in spans_of(kind, f"{passage.title} {passage.text}")]
        wrong = [span for span in dict.fromkeys(spans) if normalise(span) and normalise(span) != right]
        pool = wrong or self.titles
        return pool[int(self.draw("wrong answer") * len(pool))]


def misshapen(answer: str) -> str:
    """A right answer in a form that costs F1: in a sentence, a date as its year, a name cut to its last word."""
    if normalise(answer) in ("yes", "no"):
        return f"{answer.capitalize()}, as the passages say about both of them"
    year = _YEAR.search(answer)
    if year and normalise(answer) != year.group():
        return year.group()
    words = answer.split()
    return words[-1] if len(words) > 1 else f"the answer is {answer}, as one passage says"
