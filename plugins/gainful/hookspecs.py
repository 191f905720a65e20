"""The five hooks through which estimators, matchers, value and cost models, and stores come in.

A plug-in is one module with the functions it needs, each marked `@hookimpl`, and one line in its distribution:

    [project.entry-points.gainful]
    acme = "acme_rl.plugin"

Hooks are called once, when the catalogue is built. They only ever gain arguments.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import pluggy

from gainful.config import Options

__all__ = [
    "RegisterAdvantage",
    "RegisterCostModel",
    "RegisterMatcher",
    "RegisterStore",
    "RegisterValueModel",
    "hookimpl",
    "hookspec",
    "register_advantages",
    "register_cost_models",
    "register_matchers",
    "register_stores",
    "register_value_models",
]

hookspec = pluggy.HookspecMarker("gainful")
hookimpl = pluggy.HookimplMarker("gainful")

Scope = Literal["row", "group", "batch"]
Level = Literal["outcome", "turn", "token"]


class RegisterAdvantage(Protocol):
    """What `register_advantages` receives."""

    def __call__(
        self,
        name: str,
        fn: Callable[..., tuple[Any, Any]],
        *,
        config: type[Options],
        source: str,
        needs: Sequence[str] = (),
        optional: Sequence[str] = (),
        evidence: str = "",
        difference: str = "",
        tier: int | None = None,
        scope: Scope = "group",
        level: Level = "outcome",
        keeps_all_wrong: bool = False,
        maps_reward: bool = False,
        ties_by_row_order: bool = False,
        reward_range: tuple[float, float] | None = None,
        metrics: Callable[..., dict[str, float]] | None = None,
        batch_metrics: Callable[..., dict[str, float]] | None = None,
    ) -> None:
        """Offer one advantage estimator.

        Args:
            name: The name users select it by; lower case letters, digits and underscores.
            fn: `fn(rewards, response_mask, group_ids, *, config, **signals) -> (advantages, returns)`.
            config: The estimator's option set.
            source: Paper and repository, for the methods table.
            needs: Signals beyond rewards, mask and group ids without which it cannot run.
            optional: Signals it can use.
            evidence: How well the formula is known, by the grades of the methods table.
            difference: What differs from the source, for the methods table.
            tier: Place in our own order of work; None for third parties.
            scope: What one row's advantage depends on besides the row: nothing, its group or the batch.
            level: Whether all tokens of a row share one value (`outcome`), those of a turn do (`turn`), or neither
                (`token`).
            keeps_all_wrong: True if groups without a right response carry signal, so nothing may filter them out.
            maps_reward: True if the row sum is compared with a threshold or mapped, so nothing may be added to it.
            ties_by_row_order: True if rows that tie in something, such as length, are told apart by their order.
            reward_range: Least and greatest row sum it accepts; None for any finite number.
            metrics: `metrics(scores, group_ids, *, config) -> dict` of row sums [B], beside the common diagnostics.
            batch_metrics: `batch_metrics(advantages, rewards, response_mask, group_ids, *, config) -> dict`, for what
                row sums do not show; its names are used as they are.
        """


class RegisterMatcher(Protocol):
    """What `register_matchers` receives."""

    def __call__(self, name: str, factory: Callable[..., Any], *, source: str, extra: str | None = None) -> None:
        """Offer one answer matcher; `extra` names the optional dependency set that `factory` imports."""


class RegisterValueModel(Protocol):
    """What `register_value_models` receives."""

    def __call__(self, name: str, factory: Callable[..., Any], *, config: type[Options], source: str) -> None:
        """Offer one value model for the budget controller."""


class RegisterCostModel(Protocol):
    """What `register_cost_models` receives."""

    def __call__(self, name: str, factory: Callable[..., Any], *, config: type[Options], source: str) -> None:
        """Offer one cost model for the budget controller."""


class RegisterStore(Protocol):
    """What `register_stores` receives."""

    def __call__(
        self,
        scheme: str,
        factory: Callable[..., Any],
        *,
        config: type[Options],
        extra: str | None = None,
    ) -> None:
        """Offer one KV store, selected by URL scheme."""


@hookspec
def register_advantages(register: RegisterAdvantage) -> None:
    """Offer advantage estimators: call `register` once per estimator."""


@hookspec
def register_matchers(register: RegisterMatcher) -> None:
    """Offer answer matchers: call `register` once per matcher."""


@hookspec
def register_value_models(register: RegisterValueModel) -> None:
    """Offer value models: call `register` once per model."""


@hookspec
def register_cost_models(register: RegisterCostModel) -> None:
    """Offer cost models: call `register` once per model."""


@hookspec
def register_stores(register: RegisterStore) -> None:
    """Offer KV stores: call `register` once per URL scheme."""
