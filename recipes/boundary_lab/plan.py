"""What is to be run. A run is named by a hash of all that its result depends on, so that a finished one is found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods import DEFAULTS, LABELS
from settings import Settings, digest


@dataclass(frozen=True)
class Base:
    """The supervised phase of one seed."""

    family: str
    seed: int
    settings: Settings

    @property
    def label(self) -> str:
        return f"seed {self.seed}"

    @property
    def name(self) -> str:
        parts = [self.settings.model.model_dump(), self.settings.base.model_dump()]
        return f"base-{self.family}-s{self.seed}-{digest([parts, self.family, self.seed])}"

    def file(self, out: Path) -> Path:
        return out / "bases" / f"{self.name}.npz"

    @property
    def num_steps(self) -> int:
        return self.settings.base.num_steps


@dataclass(frozen=True)
class Run:
    """Reinforcement learning from a base with one method and its options, then evaluation; None: the base itself."""

    base: Base
    method: str | None
    options: Mapping[str, Any]
    learning_rate: float

    @property
    def label(self) -> str:
        return f"{LABELS[self.method] if self.method else 'base'} seed {self.base.seed}"

    @property
    def name(self) -> str:
        settings = self.base.settings
        used = [self.base.name, settings.evaluate.model_dump()]
        if self.method:
            used += [settings.train.model_dump(), self.method, dict(self.options), self.learning_rate]
        return f"{self.base.family}-s{self.base.seed}-{self.method or 'base'}-{digest(used)}"

    def file(self, out: Path) -> Path:
        return out / "runs" / f"{self.name}.json"

    @property
    def num_steps(self) -> int:
        return self.base.settings.train.num_steps if self.method else 0


def base_runs(settings: Settings, family: str, seeds: Iterable[int]) -> list[Run]:
    """Evaluations of the bases."""
    return [Run(Base(family, seed, settings), None, {}, 0.0) for seed in seeds]


def method_runs(
    settings: Settings, family: str, seeds: Iterable[int], method: str, options: Mapping[str, Any], learning_rate: float
) -> list[Run]:
    """One run per seed."""
    return [Run(Base(family, seed, settings), method, options, learning_rate) for seed in seeds]


@dataclass(frozen=True)
class Comparison:
    """One line of the report: a configuration, run with every seed."""

    key: str
    label: str
    runs: tuple[Run, ...]
    is_sweep: bool = False


def comparisons(settings: Settings, tuned: Mapping[str, float]) -> list[Comparison]:
    """The base, every method as tuned, and AGPO's sweep at AGPO's tuned learning rate."""
    missing = [method for method in settings.methods if method not in tuned]
    if missing:
        raise ValueError(f"boundary_lab: no tuned learning rate for {', '.join(missing)}; run with --retune")
    lines = [Comparison("base", "base", tuple(base_runs(settings, settings.family, settings.seeds)))]
    for method in settings.methods:
        runs = method_runs(settings, settings.family, settings.seeds, method, DEFAULTS.get(method, {}), tuned[method])
        lines.append(Comparison(method, LABELS[method], tuple(runs)))
    return lines + [_sweep(settings, tuned["agpo"], *point) for point in sweep_points(settings)]


def sweep_points(settings: Settings) -> list[tuple[float, float]]:
    """(delta, R)."""
    return [(delta, reward) for delta in settings.sweep_delta for reward in settings.sweep_negative_reward]


def _sweep(settings: Settings, learning_rate: float, delta: float, reward: float) -> Comparison:
    options = {"delta": delta, "negative_reward": reward}
    runs = method_runs(settings, settings.family, settings.seeds, "agpo", options, learning_rate)
    text = f"δ={delta:g} R={reward:g}"
    return Comparison(f"agpo {text}", f"AGPO {text}", tuple(runs), is_sweep=True)
