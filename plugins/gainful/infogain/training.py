"""What a training run measures, beside what decides the value of a gain."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from gainful.config import from_mapping
from gainful.infogain.config import PRESETS, GainOptions, ProbeOptions, expand_preset, nested_keys

__all__ = ["TRAINING_PRESETS", "TrainingOptions", "TrainingProbeOptions", "read_training"]


class TrainingProbeOptions(ProbeOptions):
    """Who is probed in a training run, and with what before its eyes."""

    context: Literal["history", "evidence"] = "history"
    """`history`: the tokens of the trajectory so far, which the engine has cached; `evidence`: question and tool
    results alone, blind to what the policy wrote."""
    model: Literal["policy", "endpoint"] = "policy"
    """`policy`: the one in training; `endpoint`: a frozen model at `endpoint_url`, which says nothing of the policy."""
    max_per_question: int = Field(default=4096, ge=1)
    """Probes of one question over all its rollouts; what would be more is missing."""
    always: bool = False
    """Measure with weight 0 too, for the metrics."""


class TrainingOptions(GainOptions):
    """Everything that the loop of a training run needs to know. Defaults are ours."""

    enabled: bool = True
    """False: nothing is probed, and the estimator sees the outcome alone."""
    turn_gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per turn. Below 1 no value can stand for those after it: one missing gain and all of its row are."""
    probe: TrainingProbeOptions = TrainingProbeOptions()
    """How short answers are asked for."""
    metrics_path: str | None = None
    """Folder for lines of metrics, one file a process; None for none."""
    log_texts: bool = False
    """Also write trajectories there, questions and answers in clear, as `gainful score` reads them."""

    @model_validator(mode="after")
    def _probe_fits_together(self) -> "TrainingOptions":
        if (self.probe.model == "endpoint") != bool(self.probe.endpoint_url):
            raise ValueError("probe.model='endpoint' and probe.endpoint_url belong together; set both or neither")
        if self.log_texts and not self.metrics_path:
            raise ValueError("log_texts needs metrics_path, the folder to write to")
        return self

    @property
    def measures(self) -> bool:
        """Whether beliefs are probed at all."""
        return self.enabled and (self.weight > 0 or self.probe.always)


TRAINING_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {**PRESETS, "inforeasoner_served": {**PRESETS["inforeasoner_served"], "probe": {"context": "evidence"}}}
)
"""As `PRESETS`; the served score is blind to what the policy wrote."""


def read_training(section: Mapping[str, Any] | None, *, where: str) -> TrainingOptions:
    """Options of a training run, its preset filled in.

    Raises:
        ConfigError: An unknown key, with the nearest known one, an impossible value or a bad combination.
    """
    return from_mapping(
        TrainingOptions,
        expand_preset(section or {}, TRAINING_PRESETS),
        where=where,
        owner="information gain",
        also_known=list(nested_keys(TrainingOptions)),
    )
