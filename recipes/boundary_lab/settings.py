"""Every number of the experiment, read from one JSON file and checked."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from gainful.config import Options, from_mapping

HERE = Path(__file__).resolve().parent
FULL, QUICK, TUNED = HERE / "settings.json", HERE / "quick.json", HERE / "tuned.json"


class ModelSettings(Options):
    """Shape of the transformer."""

    width: PositiveInt
    num_layers: PositiveInt
    num_heads: PositiveInt


class BaseSettings(Options):
    """The supervised phase."""

    num_steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    operator_weights: dict[str, PositiveFloat]
    """How much the demonstrator likes an operator; a right answer is shown in proportion to the product of its own."""


class TrainSettings(Options):
    """Reinforcement learning; equal for all methods but for the learning rate."""

    num_steps: PositiveInt
    prompts_per_step: PositiveInt
    group_size: int = Field(ge=2)
    max_gradient_norm: PositiveFloat
    min_solutions: PositiveInt
    """Training problems have at least this many right answers; held-out problems have any number."""


class EvaluateSettings(Options):
    """Held-out measurement."""

    num_problems: PositiveInt
    num_samples: PositiveInt
    """Answers per problem; at least the largest k of pass@k."""


class Settings(Options):
    """The whole experiment."""

    model: ModelSettings
    base: BaseSettings
    train: TrainSettings
    evaluate: EvaluateSettings
    family: Literal["tuning", "reporting"]
    """Where the comparison is made; tuning is always done on the tuning family."""
    methods: tuple[str, ...]
    sweep_delta: tuple[float, ...]
    sweep_negative_reward: tuple[float, ...]
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    num_bootstrap: PositiveInt


def load(file: Path) -> Settings:
    """Read a settings file; unknown keys and impossible values are refused."""
    return from_mapping(Settings, json.loads(file.read_text()), where=str(file), owner="boundary_lab")


def digest(value: Any) -> str:
    """Twelve hexadecimal digits that change with any part of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
