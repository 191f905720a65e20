"""What a caller of a shared service may ask for: limits where it names none, and the most that it gets."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from gainful.budget.axes import in_order, to_units
from gainful.budget.types import Budget
from gainful.config import Options
from gainful.errors import ConfigError

__all__ = ["Allowance"]


class Allowance(Options):
    """Turns what one caller asks for into the hard limits of one run. Ours; the paper has one budget for all."""

    default: Budget
    """Limits on the axes that a caller does not name."""
    maximum: Budget
    """The most of each axis, for every run. Only these axes can be asked for: nobody can limit what is not counted."""

    @model_validator(mode="after")
    def _check(self) -> "Allowance":
        self.grant(None)
        return self

    def grant(self, asked: Budget | str | Mapping[str, Any] | None) -> Budget:
        """The limits of one run: on each axis what is asked, else the default, else the maximum.

        Args:
            asked: What the caller sent, as `Budget.parse` reads it; None or an empty mapping asks for nothing.

        Raises:
            ConfigError: It is no budget, is more than the maximum, or is on an axis that the maximum leaves out.
        """
        wish = _read(asked)
        limits, most = _limits(self.default) | _limits(wish), _limits(self.maximum)
        for axis in in_order(limits):
            if axis not in most:
                offered = ", ".join(in_order(most))
                raise ConfigError(f"budget: {axis} is not offered; can be limited here: {offered}")
            if limits[axis] > most[axis]:
                expected, found = to_units(axis, most[axis]), to_units(axis, limits[axis])
                raise ConfigError(f"budget: {axis} must be at most {expected:g}, got {found:g}; ask for less")
        return Budget(**_given(self.maximum) | _given(self.default) | _given(wish) | {"per_tool": self._per_tool(wish)})

    def _per_tool(self, wish: Budget | None) -> dict[str, int]:
        merged: dict[str, int] = {}
        for budget in (self.maximum, self.default, wish):
            merged |= budget.per_tool if budget else {}
        return merged


def _read(asked: Budget | str | Mapping[str, Any] | None) -> Budget | None:
    if asked is None or (isinstance(asked, Mapping) and not asked):
        return None
    try:
        return Budget.parse(asked)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, ("budget", *problem["loc"])))
        raise ConfigError(f"{where}: {problem['msg'].removeprefix('Value error, ')}") from error


def _limits(budget: Budget | None) -> dict[str, int]:
    return {} if budget is None else budget.limits()


def _given(budget: Budget | None) -> dict[str, Any]:
    """What was named and is not None."""
    if budget is None:
        return {}
    named = {name: getattr(budget, name) for name in budget.model_fields_set if name != "per_tool"}
    return {name: value for name, value in named.items() if value is not None}
