"""From tokens and calls to money. No prices are shipped: they are the user's to know."""

import math
from collections.abc import Mapping

from pydantic import Field

from gainful.budget.axes import INPUT_TOKENS, MICRO, OUTPUT_TOKENS, tool_axis
from gainful.config import Options

__all__ = ["PriceTable"]


class PriceTable(Options):
    """Prices in one currency. A price per million tokens is, in millionths, the price of one token."""

    input: float = Field(default=0, ge=0)
    """Per million input tokens."""
    output: float = Field(default=0, ge=0)
    """Per million output tokens."""
    cached_input: float | None = Field(default=None, ge=0)
    """Per million input tokens from the provider's cache; None: the same as `input`."""
    per_tool: Mapping[str, float] = Field(default_factory=dict)
    """Per call of a tool, by name."""

    def micros(self, amounts: Mapping[str, int], *, cached_tokens: int = 0) -> int:
        """Price of `amounts` in micro-units, each part rounded up, so that more never costs less."""
        tokens = amounts.get(INPUT_TOKENS, 0)
        cached = min(cached_tokens, tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        parts = [
            (tokens - cached) * self.input,
            cached * cached_price,
            amounts.get(OUTPUT_TOKENS, 0) * self.output,
            *(amounts.get(tool_axis(name), 0) * price * MICRO for name, price in self.per_tool.items()),
        ]
        return sum(math.ceil(part) for part in parts)
