"""What the catalogue remembers about each name and each plug-in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from gainful.config import Options
from gainful.hookspecs import Level, Scope

__all__ = ["SIGNALS", "EstimatorSpec", "FactorySpec", "Plugin", "PluginFailure", "Signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """An input of estimators beyond rewards, mask and group ids."""

    dtype: Literal["bool", "int64", "float"]
    place: Literal["row", "turn", "token"]
    """What it has one value for. In a tensor the value of a turn stands on the turn's first token."""
    names_things: bool = False
    """True for ids: whatever is equal shares a number, and what is not there is -1."""

    def __str__(self) -> str:
        return f"{self.dtype} [B]" if self.place == "row" else f"{self.dtype} [B, T]"


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "anchor_ids": Signal("int64", "turn", names_things=True),
        "answer_ids": Signal("int64", "row", names_things=True),
        "entity_match": Signal("float", "row"),
        "entropy": Signal("float", "token"),
        "format_ok": Signal("bool", "row"),
        "old_log_probs": Signal("float", "token"),
        "prompt_confidence": Signal("float", "row"),
        "step_acc": Signal("float", "token"),
        "step_conf": Signal("float", "token"),
        "success": Signal("bool", "row"),
        "tool_calls": Signal("int64", "row"),
        "tool_position": Signal("int64", "row"),
        "turn_rewards": Signal("float", "turn"),
        "turn_valid": Signal("bool", "row"),
        "values": Signal("float", "token"),
    }
)
"""Signals that have a common name; a plug-in may need others."""


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
    batch_metrics: Callable[..., dict[str, float]] | None = None


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
