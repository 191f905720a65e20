"""What the catalogue remembers about each name and each plug-in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gainful.config import Options
from gainful.hookspecs import Level, Scope

__all__ = ["SIGNAL_SHAPES", "EstimatorSpec", "FactorySpec", "Plugin", "PluginFailure"]

SIGNAL_SHAPES = {
    "success": "bool [B]",
    "tool_position": "int64 [B]",
    "turn_rewards": "float [B, T]",
    "turn_valid": "bool [B]",
    "entropy": "float [B, T]",
    "values": "float [B, T]",
    "old_log_probs": "float [B, T]",
    "answer_ids": "int64 [B]",
    "tool_calls": "int64 [B]",
}
"""Dtype and shape of the signals that have a common name; a plug-in may need others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorSpec:
    """One registered advantage estimator; the fields are those of `hookspecs.RegisterAdvantage`."""

    name: str
    fn: Callable[..., tuple[Any, Any]]
    config_cls: type[Options]
    source: str
    plugin: str
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    evidence: str = ""
    difference: str = ""
    tier: int | None = None
    scope: Scope = "group"
    level: Level = "outcome"
    keeps_all_wrong: bool = False
    maps_reward: bool = False
    ties_by_row_order: bool = False
    reward_range: tuple[float, float] | None = None
    metrics: Callable[..., dict[str, float]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorySpec:
    """One registered matcher, value model or store."""

    name: str
    factory: Callable[..., Any]
    plugin: str
    config_cls: type[Options] | None = None
    source: str = ""
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in that was loaded; `distribution` is empty for one that was passed in by hand."""

    name: str
    module: str
    distribution: str = ""


@dataclass(frozen=True, slots=True)
class PluginFailure:
    """A plug-in, or one hook of it, that cannot be used; `hook` is empty if nothing of the plug-in can."""

    plugin: str
    distribution: str
    hook: str
    error: BaseException

    def __str__(self) -> str:
        action = f"failed in {self.hook}" if self.hook else "failed to load"
        return f"plug-in {self.plugin!r} {action}: {self.error or type(self.error).__name__}"
