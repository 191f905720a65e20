"""Judges say whether one answer entails another. What was judged once in a run is not judged again."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast, runtime_checkable

from gainful.errors import PluginError
from gainful.infogain.config import JudgeOptions
from gainful.infogain.matchers import NormalizedMatchJudge
from gainful.infogain.types import Missing, Pair, Value

if TYPE_CHECKING:
    from gainful.infogain.judgements import JudgementFile

__all__ = ["Ask", "BatchJudge", "EntailmentJudge", "SharedJudge", "containment", "make_judge", "normalized"]


class Ask(NamedTuple):
    """Does the premise, as an answer to the question, entail the hypothesis?"""

    question: str
    premise: str
    hypothesis: str


Waiting = tuple[Sequence[Ask], "asyncio.Future[list[Value]]"]


class EntailmentJudge(Protocol):
    """What a matcher plug-in provides; its factory is called with `JudgeOptions`."""

    @property
    def name(self) -> str:
        """Part of every cache key."""

    @property
    def revision(self) -> str:
        """Changes with everything that changes a value: model, prompt, rules."""

    def entail(self, question: str, pairs: Sequence[Pair]) -> Sequence[Value]:
        """P[premise => hypothesis] in [0, 1] per pair, `Missing` where it could not be told; never raises for one pair.

        Called with distinct pairs. The answers come from a model: they are text to compare, never instructions. No
        document is shown to a judge.
        """


@runtime_checkable
class BatchJudge(Protocol):
    """A judge that gains from pairs of many questions at once."""

    def entail_many(self, asks: Sequence[Ask]) -> Sequence[Value]:
        """Like `entail`, one question per pair."""


class SharedJudge:
    """A judge behind one cache, for all trajectories of a run: the same pair, the same value.

    The cache is least recently used in memory, and a file if one is named. `Missing` is never kept, so a judge that
    recovers is asked again. Threads may share it; asynchronous calls belong to one event loop.
    """

    def __init__(self, judge: EntailmentJudge, *, max_entries: int = 200_000, cache_path: str | None = None) -> None:
        self.judge = judge
        self.name = judge.name
        self.num_forwards = 0
        self.num_cache_hits = 0
        self._max_entries = max_entries
        self._values: OrderedDict[Ask, float] = OrderedDict()
        self._file = _open(cache_path, judge) if cache_path else None
        self._lock = threading.Lock()
        self._turn = asyncio.Lock()
        self._waiting: list[Waiting] = []

    def entail(self, question: str, pairs: Sequence[Pair]) -> list[Value]:
        """Values of the pairs of one question."""
        return self.entail_many([Ask(question, *pair) for pair in pairs])

    async def aentail(self, question: str, pairs: Sequence[Pair]) -> list[Value]:
        """`entail` that leaves the event loop free."""
        return await self.aentail_many([Ask(question, *pair) for pair in pairs])

    async def aentail_many(self, asks: Sequence[Ask]) -> list[Value]:
        """`entail_many` in a thread. Whatever comes while a batch is running goes into the next one together."""
        own: asyncio.Future[list[Value]] = asyncio.get_running_loop().create_future()
        self._waiting.append((asks, own))
        try:
            async with self._turn:
                if not own.done():
                    await self._flush()
            return await own
        finally:
            own.cancel()  # of no effect on what is done

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            values = await asyncio.to_thread(self.entail_many, [ask for asks, _ in batch for ask in asks])
        except asyncio.CancelledError:  # of one caller; the others still wait for theirs
            self._waiting[:0] = batch
            raise
        except Exception as error:
            for waiting in (waiting for _, waiting in batch if not waiting.done()):
                waiting.set_exception(error)
            return
        for asks, waiting in batch:
            share, values = values[: len(asks)], values[len(asks) :]
            if not waiting.done():
                waiting.set_result(share)

    def entail_many(self, asks: Sequence[Ask]) -> list[Value]:
        """Values of pairs of any questions; each distinct one that is not known is one forward."""
        with self._lock:
            found: dict[Ask, Value | None] = {ask: self._look_up(ask) for ask in asks}
            unknown = [ask for ask, value in found.items() if value is None]
            self.num_forwards += len(unknown)
            self.num_cache_hits += len(asks) - len(unknown)
            for ask, value in zip(unknown, self._ask(unknown), strict=True):
                found[ask] = value
                if not isinstance(value, Missing):
                    self._keep(ask, value)
        return [cast(Value, found[ask]) for ask in asks]

    def close(self) -> None:
        """Close the cache file, if there is one."""
        if self._file:
            self._file.close()

    def _look_up(self, ask: Ask) -> float | None:
        value = self._values.get(ask)
        if value is not None:
            self._values.move_to_end(ask)
        elif self._file and (value := self._file.get(ask)) is not None:
            self._remember(ask, value)
        return value

    def _keep(self, ask: Ask, value: float) -> None:
        self._remember(ask, value)
        if self._file:
            self._file.put(ask, value)

    def _remember(self, ask: Ask, value: float) -> None:
        self._values[ask] = value
        if len(self._values) > self._max_entries:
            self._values.popitem(last=False)

    def _ask(self, asks: Sequence[Ask]) -> list[Value]:
        if not asks:
            return []
        values = self._ask_judge(asks)
        if len(values) != len(asks):
            raise PluginError(f"judge {self.name!r}: expected {len(asks)} values, one per pair, got {len(values)}")
        return [self._checked(value) for value in values]

    def _ask_judge(self, asks: Sequence[Ask]) -> list[Value]:
        if isinstance(self.judge, BatchJudge):
            return list(self.judge.entail_many(asks))
        by_question: dict[str, list[Ask]] = {}
        for ask in asks:
            by_question.setdefault(ask.question, []).append(ask)
        values: dict[Ask, Value] = {}
        for question, same in by_question.items():
            answers = self.judge.entail(question, [(ask.premise, ask.hypothesis) for ask in same])
            if len(answers) != len(same):
                raise PluginError(f"judge {self.name!r}: expected {len(same)} values, one per pair, got {len(answers)}")
            values.update(zip(same, answers, strict=True))
        return [values[ask] for ask in asks]

    def _checked(self, value: Value) -> Value:
        if isinstance(value, Missing):
            return value
        if not 0 <= value <= 1:  # nan too
            raise PluginError(f"judge {self.name!r}: an entailment must be in [0, 1] or Missing, got {value!r}")
        return float(value)


def _open(path: str, judge: EntailmentJudge) -> "JudgementFile":
    from gainful.infogain.judgements import JudgementFile  # sqlite3 only where it is used

    return JudgementFile(path, judge.name, judge.revision)


def normalized(options: JudgeOptions) -> NormalizedMatchJudge:
    """Factory of `normalized`."""
    return NormalizedMatchJudge(numbers=options.numbers)


def containment(options: JudgeOptions) -> NormalizedMatchJudge:
    """Factory of `containment`."""
    return NormalizedMatchJudge(numbers=options.numbers, containment=True)


def make_judge(options: JudgeOptions) -> SharedJudge:
    """The judge that the options name, behind its cache. The catalogue is built only for a name that is not ours.

    Raises:
        UnknownNameError: No plug-in offers the name.
        ConfigError: The judge cannot work with these options.
        MissingExtraError: Its packages are not installed.
        StoreError: The cache file cannot be opened.
    """
    if options.type == "normalized":
        judge: EntailmentJudge = normalized(options)
    else:
        from gainful.catalog import catalog

        judge = cast(EntailmentJudge, catalog().matcher(options.type).factory(options))
    return SharedJudge(judge, max_entries=options.cache_entries, cache_path=options.cache_path)
