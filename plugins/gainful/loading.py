"""Loads plug-ins one by one. What fails is kept with its reason; what one hook registers counts as a whole."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import pluggy

from gainful import hookspecs
from gainful.config import Options
from gainful.errors import DuplicateNameError, PluginError, did_you_mean
from gainful.specs import EstimatorSpec, FactorySpec, Plugin, PluginFailure

__all__ = ["DISABLE_VARIABLE", "Loader", "installed_plugins"]

DISABLE_VARIABLE = "GAINFUL_DISABLE"
BUILTIN = "builtin"
HOOKS = {
    "advantages": "register_advantages",
    "matchers": "register_matchers",
    "value_models": "register_value_models",
    "cost_models": "register_cost_models",
    "stores": "register_stores",
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")

Entry = EstimatorSpec | FactorySpec
Table = dict[str, Any]


def installed_plugins(group: str) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Name, distribution and loader of each entry point: ours first, the others in alphabetical order."""

    def order(point: EntryPoint) -> tuple[bool, str, str]:
        return point.name != BUILTIN, _distribution(point), point.name

    for point in sorted(entry_points(group=group), key=order):
        yield point.name, _distribution(point), point.load


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


class Loader:
    """Takes plug-ins in with `add` and keeps what became of them."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.failures: list[PluginFailure] = []
        self.disabled: list[str] = []
        self._tables: dict[str, Table] = {kind: {} for kind in HOOKS}
        self._blocked = {name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(",")}
        self._manager = pluggy.PluginManager("gainful")
        self._manager.add_hookspecs(hookspecs)

    def tables(self) -> dict[str, Mapping[str, Any]]:
        """Read-only copies of the tables, by kind."""
        return {kind: MappingProxyType(dict(table)) for kind, table in self._tables.items()}

    def add(self, name: str, load: Callable[[], Any], *, distribution: str = "") -> None:
        """Load one plug-in and call its hooks."""
        if name in self._blocked:
            self.disabled.append(name)
            return
        # SystemExit too: a plug-in that calls sys.exit while it is imported must not end its host's process
        try:
            plugin = load()
            self._register(name, plugin)
        except (Exception, SystemExit) as error:
            self.failures.append(PluginFailure(name, distribution, "", error))
            return
        self.plugins.append(Plugin(name, _module(plugin), distribution))
        for kind, hook in HOOKS.items():
            try:
                self._tables[kind].update(self._call(hook, kind, name, plugin))
            except (Exception, SystemExit) as error:
                self.failures.append(PluginFailure(name, distribution, hook, error))

    def _register(self, name: str, plugin: Any) -> None:
        """Hand a plug-in to pluggy, which checks its hooks' names and arguments."""
        if self._manager.has_plugin(name):
            raise DuplicateNameError(
                f"plug-in name {name!r} is claimed by {_module(self._manager.get_plugin(name))} and by "
                f"{_module(plugin)}; rename one entry point"
            )
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            raise PluginError(_explain_hooks(plugin, error)) from error

    def _call(self, hook: str, kind: str, name: str, plugin: Any) -> Table:
        """What one hook of one plug-in registers."""
        staged: Table = {}

        def claim(entry: Entry) -> None:
            taken = staged.get(entry.name) or self._tables[kind].get(entry.name)
            _check_entry(entry, taken)
            staged[entry.name] = entry

        others = [other for other in self._manager.get_plugins() if other is not plugin]
        register = _estimator_recorder(name, claim) if kind == "advantages" else _factory_recorder(name, claim)
        self._manager.subset_hook_caller(hook, others)(register=register)
        return staged


def _estimator_recorder(plugin: str, claim: Callable[[Entry], None]) -> hookspecs.RegisterAdvantage:
    def register(
        name: str,
        fn: Callable[..., tuple[Any, Any]],
        *,
        config: type[Options],
        source: str,
        needs: Sequence[str] = (),
        optional: Sequence[str] = (),
        **details: Any,
    ) -> None:
        claim(
            EstimatorSpec(
                name=name,
                fn=fn,
                config_cls=config,
                source=source,
                plugin=plugin,
                needs=tuple(needs),
                optional=tuple(optional),
                **details,
            )
        )

    return register


def _factory_recorder(plugin: str, claim: Callable[[Entry], None]) -> Callable[..., None]:
    def register(
        name: str,
        factory: Callable[..., Any],
        *,
        config: type[Options] | None = None,
        source: str = "",
        extra: str | None = None,
    ) -> None:
        claim(FactorySpec(name=name, factory=factory, plugin=plugin, config_cls=config, source=source, extra=extra))

    return register


def _check_entry(entry: Entry, taken: Entry | None) -> None:
    """Refuse what would only fail later, in the middle of somebody's run."""
    where = f"plug-in {entry.plugin!r}"
    if not (isinstance(entry.name, str) and _NAME.fullmatch(entry.name)):
        raise PluginError(f"{where}: name must be lower case letters, digits and underscores, got {entry.name!r}")
    if not callable(_made_by(entry)):
        raise PluginError(f"{where}: what {entry.name!r} names must be callable, got {_made_by(entry)!r}")
    config = entry.config_cls
    if config is not None and not (isinstance(config, type) and issubclass(config, Options)):
        raise PluginError(
            f"{where}: config of {entry.name!r} must be a subclass of gainful.config.Options, got {config!r}"
        )
    if taken is not None:
        raise DuplicateNameError(
            f"{entry.name!r} is registered by {_made_by(taken).__module__} (plug-in {taken.plugin!r}) and again by "
            f"{_made_by(entry).__module__} ({where}); rename one, or switch one off with {DISABLE_VARIABLE}"
        )


def _made_by(entry: Entry) -> Any:
    return entry.fn if isinstance(entry, EstimatorSpec) else entry.factory


def _module(plugin: Any) -> str:
    return str(getattr(plugin, "__name__", type(plugin).__module__))


def _explain_hooks(plugin: Any, error: pluggy.PluginValidationError) -> str:
    """Name the misspelt hooks and the nearest real ones; for wrong arguments pluggy's own message is the best."""
    known = HOOKS.values()
    marked = [name for name in dir(plugin) if getattr(getattr(plugin, name, None), "gainful_impl", None)]
    wrong = [f"{name!r}{did_you_mean(name, known)}" for name in marked if name not in known]
    if not wrong:
        return " ".join(str(error).split())
    return f"{_module(plugin)}: unknown hook {'; unknown hook '.join(wrong)} known: {', '.join(known)}"
