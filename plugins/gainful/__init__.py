"""Spend compute only where it is gainful: advantage estimators, budgets and KV streaming for existing hosts.

Importing this package imports neither torch nor a host, and nothing else either: hosts load it in every process,
so its public names are looked up when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gainful.budget import Budget, Controller, ControllerConfig, Ledger, PriceTable
    from gainful.catalog import Catalog, EstimatorSpec, build_catalog, list_estimators
    from gainful.errors import GainfulError
    from gainful.hookspecs import hookimpl

__all__ = [
    "Budget",
    "Catalog",
    "Controller",
    "ControllerConfig",
    "EstimatorSpec",
    "GainfulError",
    "Ledger",
    "PriceTable",
    "build_catalog",
    "hookimpl",
    "list_estimators",
]

_HOMES = {"GainfulError": "gainful.errors", "hookimpl": "gainful.hookspecs"} | dict.fromkeys(
    ("Budget", "Controller", "ControllerConfig", "Ledger", "PriceTable"), "gainful.budget"
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # here, because it takes as long as all the rest of this package

        return version("gainful")
    if name not in __all__:
        raise AttributeError(f"module 'gainful' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "gainful.catalog")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
