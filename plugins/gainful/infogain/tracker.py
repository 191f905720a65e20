"""Follows one trajectory: probes the belief before its first turn and after each observation, in the background."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Generic, TypeVar, cast

from gainful.carry import runs
from gainful.errors import GainfulError
from gainful.infogain.assess import aread_belief, measure
from gainful.infogain.baseline import BaselineKey
from gainful.infogain.gain import GOLD_KINDS, Reading
from gainful.infogain.path import probe_of_each_turn, values_to_carry
from gainful.infogain.probe import Probe
from gainful.infogain.services import Services
from gainful.infogain.training import TrainingOptions
from gainful.infogain.types import AnswerSample, Missing, Value

__all__ = ["Answers", "Asked", "BeliefTracker", "Measured"]

TRIES = 2
WORTH_ANOTHER_TRY = ("probe_failed", "probe_timeout")
NO_ANSWERS = Missing("probe_failed", "kind 'likelihood' draws no answers")
NOT_PROBED = Missing("probe_failed", "no probe was made after this turn")

PrefixT = TypeVar("PrefixT")
Answers = Sequence[AnswerSample] | Sequence[float] | Missing
"""Samples; of kind `likelihood`, mean log-probability of each gold alias."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a trajectory is about."""

    uid: str
    """Of the prompt, shared by all its rollouts."""
    dataset: str
    question: str
    gold: tuple[str, ...]
    policy_version: int | str


@dataclass(frozen=True, slots=True)
class Measured:
    """What a trajectory's probes came to; empty for one that never searched."""

    readings: tuple[Reading, ...] = ()
    """[K] before any evidence, then after each turn but the last."""
    uncertainties: tuple[Value, ...] = ()
    """[K] U of each reading."""
    values: tuple[float | None, ...] = ()
    """[K - 1] what each turn but the last carries."""
    answers: tuple[Answers, ...] = ()
    """[K] what each reading rests on."""
    waited_s: float = 0.0
    """Seconds that the trajectory waited for its probes after its own end."""
    judged_s: float = 0.0
    """Seconds in the judge, waiting for its turn included."""


@dataclass
class BeliefTracker(Generic[PrefixT]):
    """One trajectory. Call `begin`, then `observe` after each observation, then `finish`; none of them raises for what
    a probe, a judge or an engine did.
    """

    probe: Probe[PrefixT]
    asked: Asked
    options: TrainingOptions
    services: Services
    _before: "asyncio.Task[Answers] | None" = None
    _after: "list[tuple[int, asyncio.Task[Answers]]]" = field(default_factory=list)

    def begin(self, prefix: PrefixT, prefix_key: str) -> None:
        """Probe the belief before any evidence, once for all rollouts with this prefix.

        Args:
            prefix: The prompt.
            prefix_key: Text that is the same for equal prefixes only.
        """
        key = BaselineKey.of(self.asked.dataset, prefix_key, self.asked.policy_version, _probe_hash(self.options))
        self._before = asyncio.create_task(self.services.baselines.get(key, partial(self._ask, prefix)))

    def observe(self, prefix: PrefixT, num_tokens: int) -> None:
        """Probe the belief after an observation, which the policy is about to act on.

        Args:
            prefix: Everything so far.
            num_tokens: Of the response, observation included.
        """
        self._after.append((num_tokens, asyncio.create_task(self._ask(prefix))))

    async def finish(self, response_mask: Sequence[int]) -> Measured:
        """Wait for the probes and read them.

        Args:
            response_mask: [T] of the response as it is trained on.
        """
        turns = runs(response_mask)
        if len(turns) < 2 or self._before is None:
            self.cancel()
            return Measured()
        start = time.perf_counter()
        chosen = [self._before, *map(self._probe_at, probe_of_each_turn(turns, [at for at, _ in self._after]))]
        answers = [await probe if probe else NOT_PROBED for probe in chosen]
        waited = time.perf_counter()
        readings = await asyncio.gather(*map(self._read, answers))
        path = [measure(reading, self.options) for reading in readings]
        values = values_to_carry(turns, path, increments=self.options.increments, gamma=self.options.turn_gamma)
        judged = time.perf_counter() - waited
        return Measured(tuple(readings), tuple(path), tuple(values), tuple(answers), waited - start, judged)

    def _probe_at(self, place: int | None) -> "asyncio.Task[Answers] | None":
        return None if place is None else self._after[place][1]

    def cancel(self) -> None:
        """Stop waiting; a baseline that others wait for goes on."""
        for task in (self._before, *(task for _, task in self._after)):
            if task is not None:
                task.cancel()

    async def _ask(self, prefix: PrefixT) -> Answers:
        options, asked = self.options, self.asked
        if not asked.gold and options.kind in GOLD_KINDS:
            return Missing("no_gold")
        if not self.services.may_probe(asked.uid):
            return Missing("over_budget", f"probe.max_per_question={options.probe.max_per_question}")
        if options.kind == "likelihood":
            return await self._in_time(partial(self.probe.gold_logprob, prefix, asked.gold))
        return await self._in_time(partial(self.probe.sample, prefix, options.samples, self._seed()))

    async def _in_time(self, call: Callable[[], Awaitable[Answers]]) -> Answers:
        result = await self._try(call)
        for _ in range(TRIES - 1):
            if isinstance(result, Missing) and result.reason in WORTH_ANOTHER_TRY:
                result = await self._try(call)
        return result

    async def _try(self, call: Callable[[], Awaitable[Answers]]) -> Answers:
        limit = self.options.probe.timeout_s
        try:
            return await asyncio.wait_for(call(), limit)
        except asyncio.TimeoutError:
            return Missing("probe_timeout", f"no answer in {limit:g} s")
        except Exception as error:  # engines fail in many ways, and one must not take a whole group of rollouts down
            return Missing("probe_failed", _described(error))

    def _seed(self) -> int:
        """The same for all probes of a question: what the dice bring before a turn, they bring after it too."""
        text = f"{self.options.seed}\n{self.asked.dataset}\n{self.asked.question}"
        return int.from_bytes(sha256(text.encode(errors="surrogatepass")).digest()[:4], "big") >> 1

    async def _read(self, answers: Answers) -> Reading:
        if self.options.kind == "likelihood":
            best = answers if isinstance(answers, Missing) else max(cast(Sequence[float], answers))
            return Reading(NO_ANSWERS, NO_ANSWERS, best)
        samples = cast(Sequence[AnswerSample] | Missing, answers)
        try:
            return await aread_belief(samples, self.services.judge, self.asked.question, self.asked.gold, self.options)
        except Exception as error:  # of a judge, which may be anybody's
            missing = Missing("judge_failed", _described(error))
            return Reading(missing, missing, missing)


def _described(error: Exception) -> str:
    """Messages of others may hold what a model wrote, which belongs into no log."""
    return f"{type(error).__name__}: {error}" if isinstance(error, GainfulError) else type(error).__name__


def _probe_hash(options: TrainingOptions) -> str:
    """Of everything that decides what a probe brings."""
    parts = [options.kind == "likelihood", options.samples, options.seed, options.probe.model_dump(mode="json")]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
