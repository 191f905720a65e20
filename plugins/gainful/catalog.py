"""The one table of names: every plug-in's hooks are called once, then the tables are frozen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

from gainful.errors import UnknownNameError, did_you_mean
from gainful.loading import DISABLE_VARIABLE, Loader, installed_plugins
from gainful.specs import EstimatorSpec, FactorySpec, Plugin, PluginFailure

__all__ = [
    "Catalog",
    "EstimatorSpec",
    "FactorySpec",
    "Plugin",
    "PluginFailure",
    "build_catalog",
    "catalog",
    "list_estimators",
]

EntryT = TypeVar("EntryT", EstimatorSpec, FactorySpec)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What all plug-ins together offer; the mappings are read-only and in order of registration."""

    advantages: Mapping[str, EstimatorSpec]
    matchers: Mapping[str, FactorySpec]
    value_models: Mapping[str, FactorySpec]
    cost_models: Mapping[str, FactorySpec]
    stores: Mapping[str, FactorySpec]
    plugins: tuple[Plugin, ...]
    failures: tuple[PluginFailure, ...]
    disabled: tuple[str, ...]

    def advantage(self, name: str) -> EstimatorSpec:
        """The estimator called `name`; `UnknownNameError` if no plug-in offers it."""
        return self._find("advantage estimator", self.advantages, name)

    def matcher(self, name: str) -> FactorySpec:
        """The matcher called `name`; `UnknownNameError` if no plug-in offers it."""
        return self._find("matcher", self.matchers, name)

    def value_model(self, name: str) -> FactorySpec:
        """The value model called `name`; `UnknownNameError` if no plug-in offers it."""
        return self._find("value model", self.value_models, name)

    def cost_model(self, name: str) -> FactorySpec:
        """The cost model called `name`; `UnknownNameError` if no plug-in offers it."""
        return self._find("cost model", self.cost_models, name)

    def store(self, scheme: str) -> FactorySpec:
        """The store for URLs that begin with `scheme://`; `UnknownNameError` if no plug-in offers it."""
        return self._find("store", self.stores, scheme)

    def _find(self, kind: str, table: Mapping[str, EntryT], name: str) -> EntryT:
        if name in table:
            return table[name]
        clauses = [
            f"unknown {kind} {name!r}{did_you_mean(name, table)}",
            f"known: {', '.join(table) or 'none'}",
            *(str(failure) for failure in self.failures),
        ]
        if self.disabled:
            clauses.append(f"switched off by {DISABLE_VARIABLE}: {', '.join(self.disabled)}")
        raise UnknownNameError("; ".join(clauses))


def build_catalog(plugins: Iterable[object] = (), group: str = "gainful") -> Catalog:
    """Load the plug-ins of an entry point group, then `plugins`, and call their hooks once each.

    Our own methods come first, the others in alphabetical order, so that two runs agree on who claimed a name
    first. Names listed in the environment variable `GAINFUL_DISABLE` (commas between them) are left out. A broken
    plug-in raises nothing here: it stands in `failures` with its reason, and takes no other plug-in down.

    Args:
        plugins: Modules or objects with hook implementations, for tests and notebooks.
        group: The entry point group to read.
    """
    loader = Loader()
    for name, distribution, load in installed_plugins(group):
        loader.add(name, load, distribution=distribution)
    for plugin in plugins:
        name = str(getattr(plugin, "__name__", type(plugin).__name__))
        loader.add(name, partial(_given, plugin))
    return Catalog(
        **loader.tables(),
        plugins=tuple(loader.plugins),
        failures=tuple(loader.failures),
        disabled=tuple(loader.disabled),
    )


def _given(plugin: object) -> object:
    return plugin


@cache
def catalog() -> Catalog:
    """The catalogue of this process, built at the first call."""
    return build_catalog()


def list_estimators() -> tuple[EstimatorSpec, ...]:
    """All registered advantage estimators, in order of registration."""
    return tuple(catalog().advantages.values())
