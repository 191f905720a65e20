"""What a run will probably take, before a cent is spent. Rough: the cap is what holds, not this."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from cells import Bench, Cell

from gainful.budget import Budget, PriceTable
from gainful.budget.axes import INPUT_TOKENS, MICRO, OUTPUT_TOKENS

_TOKENS_PER_WORD = 1.4
_PROMPT_TOKENS = 150
"""Instructions and question (both ours)."""


@dataclass(frozen=True)
class Estimate:
    """Of all cells together."""

    runs: int
    requests: int
    input_tokens: int
    output_tokens: int
    """At most: all budgets used up."""

    def price(self, prices: PriceTable) -> float:
        return prices.micros({INPUT_TOKENS: self.input_tokens, OUTPUT_TOKENS: self.output_tokens}) / MICRO


def estimate(cells: Iterable[Cell], benches: dict[str, Bench], k: int) -> Estimate:
    """Every search but the first follows a request that reads what is there, and the answer reads it all."""
    runs = requests = given = written = 0
    passage = {name: _passage_tokens(bench) for name, bench in benches.items()}
    for cell in cells:
        number = len(benches[cell.set].questions)
        budget = Budget.parse(cell.budget)
        calls = budget.tool_calls or 0
        read = k * calls * (calls + 1) // 2
        runs += number
        requests += number * (calls + 1)
        given += round(number * (read * passage[cell.set] + (calls + 1) * _PROMPT_TOKENS))
        written += number * (budget.output_tokens or 0)
    return Estimate(runs, requests, given, written)


def _passage_tokens(bench: Bench) -> float:
    words = fmean(len(passage.text.split()) + len(passage.title.split()) for passage in bench.pool.by_id.values())
    return _TOKENS_PER_WORD * words
