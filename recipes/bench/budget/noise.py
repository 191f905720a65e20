"""What is assumed about the simulated model, read from `noise.toml`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomllib
from pydantic import Field

from gainful.budget.hashing import short_hash
from gainful.config import Options

FILE = Path(__file__).with_name("noise.toml")
Share = Field(ge=0, le=1)


class Noise(Options):
    """One set of assumptions; see the comments in the file."""

    right_query: float = Share
    right_with_all_gold: float = Share
    right_with_some_gold: float = Share
    right_with_no_gold: float = Share
    loss_per_10_others: float = Share
    abstains_when_wrong: float = Share
    stops_when_ready: float = Share
    stops_when_not_ready: float = Share
    critic_deviation: float = Share
    critic_bias: float = Share
    proposal_tokens: float = Field(gt=0)
    tool_call_tokens: float = Field(gt=0)
    thought_tokens: float = Field(gt=0)
    answer_tokens: float = Field(gt=0)
    critic_tokens: float = Field(gt=0)
    token_spread: float = Share
    repeats_query: float = Share
    form_error: float = Share
    tracker_strength: float = Share

    @property
    def hash(self) -> str:
        return short_hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))


def default_noise() -> Noise:
    """The assumptions of the headline."""
    return Noise(**_read()["default"])


def swept_noise() -> Iterator[tuple[str, Noise]]:
    """The default with one assumption changed, and a name for the change."""
    default = default_noise()
    for name, values in _read()["sweep"].items():
        for value in values:
            yield f"{name} {value}", default.model_copy(update=_change(name, value, default))


def _change(name: str, value: Any, default: Noise) -> dict[str, float]:
    if name == "stops":
        return dict(zip(("stops_when_ready", "stops_when_not_ready"), value, strict=True))
    if name == "token_scale":
        counts = [field for field in Noise.model_fields if field.endswith("_tokens")]
        return {field: value * getattr(default, field) for field in counts}
    return {name: value}


def _read() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))
