"""What all trajectories of a process share."""

from collections.abc import Hashable
from typing import Any

from gainful.infogain.baseline import BaselineCache
from gainful.infogain.judges import SharedJudge, make_judge
from gainful.infogain.training import TrainingOptions

__all__ = ["Services"]

MAX_QUESTIONS = 100_000
"""Questions whose probes are counted at a time (ours); far more than a step has."""


class Services:
    """Judge, baselines, and how often each question was probed. For one event loop."""

    def __init__(self, options: TrainingOptions) -> None:
        """Make the judge.

        Raises:
            ConfigError, UnknownNameError, MissingExtraError, StoreError: As `make_judge`.
        """
        self.judge: SharedJudge = make_judge(options.judge)
        self.baselines: BaselineCache[Any] = BaselineCache()
        self._limit = options.probe.max_per_question
        self._num_probes: dict[Hashable, int] = {}

    def may_probe(self, uid: str) -> bool:
        """Count one probe of a question; False if it had all it may have. Old questions are forgotten first."""
        count = self._num_probes.pop(uid, 0) + 1
        self._num_probes[uid] = count
        if len(self._num_probes) > MAX_QUESTIONS:
            self._num_probes.pop(next(iter(self._num_probes)))
        return count <= self._limit
