"""From what a user writes to a value or cost model: an instance, a name, or `"module:attribute"`."""

from importlib import import_module
from typing import Any, cast

from gainful.budget.costs import CostModel, RunningMedianCost
from gainful.budget.value import HeuristicValue, ValueModel
from gainful.errors import ConfigError

__all__ = ["find_cost_model", "find_value_model"]


def find_value_model(model: ValueModel | str) -> ValueModel:
    """The model itself, or the one named. The catalogue is built only for a name that is not the default's.

    Raises:
        UnknownNameError: No plug-in offers the name.
        ConfigError: `"module:attribute"` cannot be imported.
    """
    if not isinstance(model, str):
        return model
    if model == HeuristicValue.name:
        return HeuristicValue()
    return cast(ValueModel, _imported(model) if ":" in model else _registered("value_model", model))


def find_cost_model(model: CostModel | str) -> CostModel:
    """The model itself, or the one named; as `find_value_model`."""
    if not isinstance(model, str):
        return model
    if model == RunningMedianCost.name:
        return RunningMedianCost()
    return cast(CostModel, _imported(model) if ":" in model else _registered("cost_model", model))


def _registered(kind: str, name: str) -> Any:
    from gainful.catalog import catalog

    spec = getattr(catalog(), kind)(name)
    return spec.factory(spec.config_cls() if spec.config_cls else None)


def _imported(path: str) -> Any:
    """What `module:attribute` names; a class is called without arguments."""
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"budget: expected an importable 'module:attribute', got {path!r}: {error}") from error
    return found() if isinstance(found, type) else found
