"""Cost of pass: what one right answer costs at declared prices, from a result file alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tables import markdown

MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """In one currency. They are declared by who runs the command; none is built in."""

    per_million_input: float
    per_million_output: float
    per_thousand_searches: float

    def of(self, cell: Mapping[str, float]) -> float:
        """What one question costs on average."""
        tokens = cell["input_tokens"] * self.per_million_input + cell["output_tokens"] * self.per_million_output
        return tokens / MILLION + cell["calls"] * self.per_thousand_searches / 1000


def cost_table(result: Mapping[str, Any], prices: Prices) -> str:
    """Methods by budgets: price of a thousand right answers (exact match), mean cost over mean accuracy of the sets."""
    sets, budgets, methods = (result["choice"][name] for name in ("sets", "budgets", "methods"))
    rows = []
    for method in methods:
        found = [[result["cells"][f"{name} | {budget} | {method}"] for name in sets] for budget in budgets]
        rows.append([method, *(f"{_per_right(cells, prices):.2f}" for cells in found)])
    return markdown(["per 1,000 right answers", *budgets], rows)


def _per_right(cells: list[Mapping[str, float]], prices: Prices) -> float:
    right = sum(cell["em"] for cell in cells)
    return 1000 * sum(prices.of(cell) for cell in cells) / right if right else float("inf")
