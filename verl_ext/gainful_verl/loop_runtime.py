"""What the trajectories of one agent-loop worker share."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gainful.infogain.records import Trajectory
from gainful.infogain.services import Services
from gainful.infogain.tally import ProbeUse, Tally
from gainful.infogain.tracker import Asked, Measured
from gainful.infogain.training import TrainingOptions
from gainful.infogain.types import Missing
from gainful.metrics_file import MetricsFile
from gainful_verl.gain_options import carries_gains, training_options

__all__ = ["Runtime"]

logger = logging.getLogger("gainful.verl")

_runtimes: dict[str, "Runtime"] = {}


class Runtime:
    """Options, judge, baselines and metrics of the run that this process works for."""

    def __init__(self, config: Any, options: TrainingOptions) -> None:
        self.options, self.services = options, Services(options)
        self.carries = options.measures and carries_gains(config.algorithm)
        rollout = config.actor_rollout_ref.rollout
        self.max_tokens = rollout.max_model_len or rollout.prompt_length + rollout.response_length
        self.own_ids = bool(rollout.get("full_determinism", False))
        self._tally = Tally(options, self.services)
        self._metrics = MetricsFile(options.metrics_path, "loop") if options.metrics_path else None
        self._texts = MetricsFile(options.metrics_path, "trajectories") if options.log_texts else None
        self._told: set[str] = set()

    @classmethod
    def of(cls, config: Any) -> "Runtime":
        """The same for all trajectories with the same options, since verl makes a loop for each.

        Raises:
            ConfigError: An option is unknown or impossible.
        """
        options = training_options(config.algorithm)
        key = json.dumps([options.model_dump(mode="json"), str(config.algorithm.adv_estimator)], sort_keys=True)
        if key not in _runtimes:
            _runtimes[key] = cls(config, options)
        return _runtimes[key]

    @contextmanager
    def in_progress(self, asked: Asked) -> Iterator[None]:
        """A trajectory is under way; a line of metrics is written when none is any more."""
        self._tally.begin(asked.uid)
        try:
            yield
        finally:
            line = self._tally.end(int(asked.policy_version))
            if line and self._metrics:
                self._metrics.write(line)

    def record(self, asked: Asked, measured: Measured, use: ProbeUse, *, failed_retrievals: int) -> None:
        """Count a trajectory that was measured, and say once for each reason what was missing."""
        self._tally.add(measured, use, failed_retrievals=failed_retrievals)
        for value in measured.uncertainties:
            if isinstance(value, Missing) and value.reason not in self._told:
                self._told.add(value.reason)
                logger.warning("gainful: a belief is missing: %s, %s (told once a process)", value.reason, value.detail)

    def write_texts(self, trajectory: Trajectory) -> None:
        """For `gainful score`, if the options ask for texts."""
        if self._texts:
            self._texts.write(trajectory.model_dump(mode="json"))

    @property
    def writes_texts(self) -> bool:
        """Whether the options ask for texts."""
        return self._texts is not None
