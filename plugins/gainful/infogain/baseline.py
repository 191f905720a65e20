"""The belief before any evidence is the same for all rollouts of a question: it is probed once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Generic, NamedTuple, TypeVar

from gainful.infogain.types import Missing

__all__ = ["BaselineCache", "BaselineKey"]

T = TypeVar("T")


class BaselineKey(NamedTuple):
    """What a baseline depends on."""

    dataset: str
    question_hash: str
    policy_version: str
    probe_hash: str
    """Of everything that decides how a probe is made, the prompt format included."""

    @classmethod
    def of(cls, dataset: str, question: str, policy_version: int | str, probe_hash: str) -> "BaselineKey":
        """Key of a question; two questions have the same only if they are the same text."""
        digest = sha256(question.encode(errors="surrogatepass")).hexdigest()
        return cls(dataset, digest, str(policy_version), probe_hash)


class BaselineCache(Generic[T]):
    """What a probe returned, by key, the least recently used dropped first. For one event loop.

    Rollouts that need a baseline at the same time share one probe, and one of them being cancelled does not end it.
    `Missing` is handed to all that waited and not kept: the next one probes again.
    """

    def __init__(self, max_entries: int = 4096) -> None:
        self.num_probes = 0
        self.num_hits = 0
        self._max_entries = max_entries
        self._samples: OrderedDict[BaselineKey, T] = OrderedDict()
        self._running: dict[BaselineKey, asyncio.Task[T | Missing]] = {}

    async def get(self, key: BaselineKey, probe: Callable[[], Awaitable[T | Missing]]) -> T | Missing:
        """What is known of `key`; `probe()` is called if nobody has probed or is probing."""
        if key in self._samples:
            self.num_hits += 1
            self._samples.move_to_end(key)
            return self._samples[key]
        if key in self._running:
            self.num_hits += 1
        else:
            self._running[key] = asyncio.create_task(self._probe(key, probe))
        return await asyncio.shield(self._running[key])

    async def _probe(self, key: BaselineKey, probe: Callable[[], Awaitable[T | Missing]]) -> T | Missing:
        self.num_probes += 1
        try:
            samples = await probe()
        finally:
            del self._running[key]
        if not isinstance(samples, Missing):
            self._samples[key] = samples
            if len(self._samples) > self._max_entries:
                self._samples.popitem(last=False)
        return samples
