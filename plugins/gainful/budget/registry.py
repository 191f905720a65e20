"""From what a user writes to a value or cost model: an instance, a name, or `"module:attribute"`."""

from importlib import import_module
from typing import Any, cast

from gainful.budget.costs import CostModel, PricedCost, RunningMedianCost
from gainful.budget.value import HeuristicValue, ValueModel
from gainful.errors import ConfigError, UnknownNameError, did_you_mean

__all__ = ["COST_MODELS", "find_cost_model", "find_value_model"]

COST_MODELS = {"running_median": RunningMedianCost, "priced": PricedCost}
"""By name. Others are passed as instances or as `"module:attribute"`: there is no hook for them yet."""


def find_value_model(model: ValueModel | str) -> ValueModel:
    """The model itself, or the one named. The catalogue is built only for a name that is not the default's.

    Raises:
        UnknownNameError: No plug-in offers the name.
        ConfigError: `"module:attribute"` cannot be imported.
    """
    if not isinstance(model, str):
        return model
    if ":" in model:
        return cast(ValueModel, _imported(model))
    if model == HeuristicValue.name:
        return HeuristicValue()
    from gainful.catalog import catalog

    spec = catalog().value_model(model)
    return cast(ValueModel, spec.factory(spec.config_cls() if spec.config_cls else None))


def find_cost_model(model: CostModel | str) -> CostModel:
    """The model itself, or the one named.

    Raises:
        UnknownNameError: There is no such cost model.
        ConfigError: `"module:attribute"` cannot be imported.
    """
    if not isinstance(model, str):
        return model
    if ":" in model:
        return cast(CostModel, _imported(model))
    if model not in COST_MODELS:
        known = ", ".join(COST_MODELS)
        raise UnknownNameError(f"unknown cost model {model!r}{did_you_mean(model, COST_MODELS)}; known: {known}")
    return COST_MODELS[model]()


def _imported(path: str) -> Any:
    """What `module:attribute` names; a class is called without arguments."""
    module, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"budget: expected an importable 'module:attribute', got {path!r}: {error}") from error
    return found() if isinstance(found, type) else found
