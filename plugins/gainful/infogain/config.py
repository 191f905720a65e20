"""Options of beliefs and gains, and the presets that stand for published forms."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from gainful.config import Options, from_mapping
from gainful.errors import ConfigError
from gainful.infogain.cluster import Linkage
from gainful.infogain.gain import Form, Increments, Kind
from gainful.infogain.gold import Aliases, Direction
from gainful.infogain.weights import Scheme

__all__ = [
    "PRESETS",
    "GainOptions",
    "JudgeOptions",
    "MatchOptions",
    "ProbeOptions",
    "expand_preset",
    "nested_keys",
    "read_options",
]


class JudgeOptions(Options):
    """Who says whether one answer entails another."""

    type: str = "normalized"
    """Name of a registered matcher: `normalized`, `containment`, `nli`, `openai`, or a plug-in's."""
    model: str | None = None
    """Model of `nli` or `openai`: a name, or a folder."""
    revision: str | None = None
    """Revision of that model; part of every cache key."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """An entailment holds strictly above it."""
    batch_size: int = Field(default=64, ge=1, le=4096)
    """Pairs in one forward of `nli`."""
    max_length: int = Field(default=256, ge=16, le=4096)
    """Tokens of a pair; longer pairs are cut, and counted."""
    device: str = "cpu"
    """Device of `nli`."""
    exact_shortcut: bool = True
    """Answers that are equal after normalisation entail each other without a call."""
    numbers: bool = False
    """`normalized`, `containment`: 1,000 and 1000.0 are the same (ours)."""
    base_url: str | None = None
    """`openai`: where the server's `/chat/completions` is, such as `http://127.0.0.1:8000/v1`."""
    api_key_env: str | None = None
    """`openai`: environment variable that holds the key; None for a server without one."""
    timeout_s: float = Field(default=30.0, gt=0)
    """`openai`: seconds of one try; there are two."""
    cache_path: str | None = None
    """SQLite file that keeps values between runs; None for memory alone."""
    cache_entries: int = Field(default=200_000, ge=1)
    """Values kept in memory (ours)."""


class MatchOptions(Options):
    """What counts as the gold answer."""

    direction: Direction = "both"
    """`both`: answer and alias entail each other; `forward`: the answer entails the alias; `either`: one suffices."""
    soft: bool = False
    """The probability in place of 0 or 1."""
    aliases: Aliases = "any"
    """`any`: samples that match different aliases add up; `max`: the mass of the best alias."""


class ClusterOptions(Options):
    """How answers form classes."""

    linkage: Linkage = "complete"
    """`complete`: all members of a class match; `components`: transitive closure."""


class LikelihoodOptions(Options):
    """Form of the kind `likelihood`."""

    form: Literal["prob", "log"] = "prob"
    """P or ln P."""


class ProbeOptions(Options):
    """How a served model is asked for short answers, where samples are not in the file."""

    endpoint_url: str | None = None
    """Where the server's `/completions` is; None for no probe."""
    endpoint_model: str | None = None
    """Model name that the server knows."""
    api_key_env: str | None = None
    """Environment variable that holds the key."""
    max_tokens: int = Field(default=32, ge=1)
    """New tokens of one answer."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Seconds of one try; there are two."""
    suffix: str = "The answer is <answer>"
    """What the model continues."""
    stop: tuple[str, ...] = ("</answer>", "\n")
    """Where an answer ends."""


class GainOptions(Options):
    """Everything that decides the value of a gain; the estimator's own options are not here. Defaults are ours."""

    preset: Literal["inforeasoner_served", "inforeasoner_page"] | None = None
    """Published form whose values stand where nothing else was set."""
    kind: Kind = "mass"
    """What is measured: `shannon`, `gini`, `log`, `mass` or `likelihood`."""
    weight: float = Field(default=0.6, ge=0)
    """lambda, in reward per unit of gain; 0.6 is dl-m9/InfoReasoner's."""
    form: Form = "turn"
    """`turn`: credit per turn, where a whole trajectory is worth the sum; `trajectory_mean`, `trajectory_sum`."""
    increments: Increments = "telescoping"
    """`fixed`: every turn against the belief without evidence; trajectory forms only."""
    samples: int = Field(default=8, ge=2, le=64)
    """R: answers per probe."""
    weights: Scheme = "uniform"
    """How much each sample counts."""
    entropy_bias: Literal["none", "miller_madow"] = "miller_madow"
    """Correction of `shannon` for the number of samples, where they count alike."""
    seed: int = 0
    """Of the probe's sampling."""
    judge: JudgeOptions = JudgeOptions()
    match: MatchOptions = MatchOptions()
    cluster: ClusterOptions = ClusterOptions()
    likelihood: LikelihoodOptions = LikelihoodOptions()
    probe: ProbeOptions = ProbeOptions()

    @model_validator(mode="after")
    def _fits_together(self) -> "GainOptions":
        if self.increments == "fixed" and self.form == "turn":
            raise ValueError(
                "increments 'fixed' do not telescope, so form 'turn' cannot use them; take a trajectory form"
            )
        if self.probe.endpoint_url and not self.probe.endpoint_model:
            raise ValueError("probe.endpoint_url needs probe.endpoint_model, the name that the server knows")
        if self.probe.endpoint_url and self.kind == "likelihood":
            raise ValueError(
                "kind 'likelihood' needs gold_logprob in the file; the probe at endpoint_url samples answers"
            )
        return self

    @property
    def config_hash(self) -> str:
        """16 hexadecimal digits that change with every option that can change a result."""
        kept = self.model_dump(mode="json")
        for name in ("api_key_env", "timeout_s"):
            kept["judge"].pop(name)
            kept["probe"].pop(name)
        for name in ("batch_size", "device", "cache_path", "cache_entries"):
            kept["judge"].pop(name)
        return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "inforeasoner_served": {
            "kind": "mass",
            "weight": 0.6,
            "form": "trajectory_sum",
            "samples": 10,
            "weights": "mean_logprob",
            "judge": {"type": "nli", "model": "microsoft/deberta-v2-xlarge-mnli", "exact_shortcut": False},
            "match": {"direction": "either", "soft": True, "aliases": "max"},
            "cluster": {"linkage": "components"},
        },
        "inforeasoner_page": {"kind": "log", "form": "trajectory_mean", "increments": "fixed"},
    }
)
"""Served form of dl-m9/InfoReasoner with its array layout corrected, and the form of its project page."""


def read_options(section: Mapping[str, Any] | GainOptions | None, *, where: str) -> GainOptions:
    """Options from a mapping, after its preset is filled in; what the mapping sets itself wins.

    Raises:
        ConfigError: An unknown key, with the nearest known one, an impossible value or a bad combination.
    """
    if isinstance(section, GainOptions):
        return section
    section = expand_preset(section or {}, PRESETS)
    known = list(nested_keys(GainOptions))
    return from_mapping(GainOptions, section, where=where, owner="information gain", also_known=known)


def expand_preset(section: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A section with the values of the preset that it names, where it sets none itself.

    Raises:
        ConfigError: It is no mapping.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"information gain: options must be a mapping, got {type(section).__name__}")
    return _merged(presets.get(str(section.get("preset")), {}), section)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **over}
    for key, value in base.items():
        if isinstance(value, Mapping) and isinstance(over.get(key), Mapping):
            merged[key] = _merged(value, over[key])
    return merged


def nested_keys(cls: type[Options]) -> Iterator[str]:
    """Names of the options within options, for messages."""
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Options):
            yield from (f"{name}.{key}" for key in field.annotation.model_fields)
