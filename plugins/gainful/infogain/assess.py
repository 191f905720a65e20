"""Puts the pieces together: samples and a judge in, a reading out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Generic, TypeVar

from gainful.infogain.belief import belief
from gainful.infogain.cluster import Linkage, clusters_of
from gainful.infogain.config import GainOptions
from gainful.infogain.gain import Reading, uncertainty
from gainful.infogain.gold import Aliases, Direction, gold_mass_of
from gainful.infogain.judges import Ask, EntailmentJudge, SharedJudge
from gainful.infogain.matchers import normalize
from gainful.infogain.types import AnswerSample, Asking, FloatArray, Missing, Pair, Value, distinct
from gainful.infogain.weights import weights

__all__ = ["Inquiry", "aread_belief", "clusters", "gold_mass", "measure", "read_belief", "reading_of", "run_all"]

T = TypeVar("T")

NOT_ASKED = Missing("probe_failed", "the probe did not ask for the gold answer's log-probability")


@dataclass(slots=True)
class Inquiry(Generic[T]):
    """One computation in progress, with what it has learnt so far and what that took."""

    question: str
    steps: Asking[T]
    exact_shortcut: bool = False
    """Answers that are equal after normalisation entail each other without a forward."""
    num_forwards: int = 0
    """Distinct pairs that it needed a judge for."""
    num_cache_hits: int = 0
    """Pairs that it needed again."""
    done: bool = False
    _known: dict[Pair, Value] = field(default_factory=dict)
    _wave: Sequence[Pair] = ()
    _result: T | None = None

    def start(self) -> None:
        """Run up to the first wave of pairs."""
        self._resume(None)

    def open_asks(self) -> list[Ask]:
        """Distinct pairs of the wave whose value is not known yet."""
        fresh: dict[Pair, None] = {}
        for pair in self._wave:
            if pair in self._known or pair in fresh:
                self.num_cache_hits += 1
            elif self.exact_shortcut and _same(*pair):
                self._known[pair] = 1.0
            else:
                fresh[pair] = None
        self.num_forwards += len(fresh)
        return [Ask(self.question, *pair) for pair in fresh]

    def answer(self, values: Iterable[tuple[Ask, Value]]) -> None:
        """Take in the values of `open_asks` and go on to the next wave."""
        self._known.update(((ask.premise, ask.hypothesis), value) for ask, value in values)
        self._resume([self._known[pair] for pair in self._wave])

    def result(self) -> T:
        """What it came to; only once it is done."""
        if not self.done:
            raise RuntimeError("an inquiry has no result before it is done")
        return self._result  # type: ignore[return-value]  # T may be Optional itself

    def _resume(self, values: Sequence[Value] | None) -> None:
        try:
            self._wave = next(self.steps) if values is None else self.steps.send(values)
        except StopIteration as stop:
            self._result, self.done = stop.value, True


def _same(left: str, right: str) -> bool:
    plain = normalize(left)
    return plain != "" and plain == normalize(right)


def run_all(inquiries: Sequence[Inquiry[T]], judge: SharedJudge) -> None:
    """Bring inquiries to their end; the pairs that all of them need at one time go to the judge as one batch."""
    for inquiry in inquiries:
        inquiry.start()
    active = [inquiry for inquiry in inquiries if not inquiry.done]
    while active:
        waves = [inquiry.open_asks() for inquiry in active]
        asks = [ask for wave in waves for ask in wave]
        values = iter(judge.entail_many(asks) if asks else ())
        for inquiry, wave in zip(active, waves, strict=True):
            inquiry.answer([(ask, next(values)) for ask in wave])
        active = [inquiry for inquiry in active if not inquiry.done]


def _run(steps: Asking[T], judge: EntailmentJudge, question: str) -> T:
    inquiry = Inquiry(question, steps)
    run_all([inquiry], judge if isinstance(judge, SharedJudge) else SharedJudge(judge))
    return inquiry.result()


def clusters(
    samples: Sequence[AnswerSample],
    judge: EntailmentJudge,
    question: str,
    linkage: Linkage = "complete",
    threshold: float = 0.5,
) -> list[int] | Missing:
    """Class of each sample [R]; see `clusters_of`. `Missing` if the judge has no value for a pair that is needed."""
    return _run(clusters_of(samples, linkage, threshold), judge, question)


def gold_mass(
    samples: Sequence[AnswerSample],
    weights: FloatArray,
    judge: EntailmentJudge,
    question: str,
    gold: Sequence[str],
    soft: bool = False,
    direction: Direction = "both",
    *,
    aliases: Aliases = "any",
    threshold: float = 0.5,
) -> float | Missing:
    """Weight of the samples that match a gold alias; see `gold_mass_of`."""
    steps = gold_mass_of(samples, weights, gold, soft=soft, direction=direction, aliases=aliases, threshold=threshold)
    return _run(steps, judge, question)


def reading_of(
    samples: Sequence[AnswerSample] | Missing,
    gold: Sequence[str],
    options: GainOptions,
    gold_logprob: Value = NOT_ASKED,
) -> Asking[Reading]:
    """Everything that one probe says. Gold comes first, then the classes: the order that asks least."""
    if isinstance(samples, Missing):
        return Reading(samples, samples, gold_logprob)
    weight = weights(samples, options.weights)
    if isinstance(weight, Missing):
        return Reading(weight, weight, gold_logprob)
    threshold, match = options.judge.threshold, options.match
    mass = yield from gold_mass_of(
        samples,
        weight,
        gold,
        soft=match.soft,
        direction=match.direction,
        aliases=match.aliases,
        threshold=threshold,
    )
    labels = yield from clusters_of(samples, options.cluster.linkage, threshold, _answer_weights(samples, weight))
    formed = labels if isinstance(labels, Missing) else belief(samples, weight, labels)
    return Reading(formed, mass, gold_logprob, len(samples))


def _answer_weights(samples: Sequence[AnswerSample], weight: FloatArray) -> dict[str, float]:
    answers, index = distinct(samples)
    return {answer: fsum(weight[index == place]) for place, answer in enumerate(answers)}


def read_belief(
    samples: Sequence[AnswerSample] | Missing,
    judge: SharedJudge,
    question: str,
    gold: Sequence[str],
    options: GainOptions,
    gold_logprob: Value = NOT_ASKED,
) -> Reading:
    """Everything that one probe says, for `measure`."""
    inquiry = Inquiry(question, reading_of(samples, gold, options, gold_logprob), options.judge.exact_shortcut)
    run_all([inquiry], judge)
    return inquiry.result()


async def aread_belief(
    samples: Sequence[AnswerSample] | Missing,
    judge: SharedJudge,
    question: str,
    gold: Sequence[str],
    options: GainOptions,
    gold_logprob: Value = NOT_ASKED,
) -> Reading:
    """`read_belief` for an event loop; what runs at the same time shares batches."""
    inquiry = Inquiry(question, reading_of(samples, gold, options, gold_logprob), options.judge.exact_shortcut)
    inquiry.start()
    while not inquiry.done:
        asks = inquiry.open_asks()
        values = await judge.aentail_many(asks) if asks else []
        inquiry.answer(zip(asks, values, strict=True))
    return inquiry.result()


def measure(reading: Reading, options: GainOptions) -> Value:
    """U of a reading, as the options say."""
    return uncertainty(
        options.kind,
        reading,
        miller_madow=options.entropy_bias == "miller_madow",
        likelihood=options.likelihood.form,
    )
