"""What an action will probably take. Used for scores only: what it may take at most is in `steps`."""

from typing import Protocol

from gainful.budget.actions import Move
from gainful.budget.axes import MICRO
from gainful.budget.types import Cost, Usage
from gainful.budget.value import NoOptions, StateView

__all__ = ["CostEstimate", "CostModel", "PricedCost", "RunningMedianCost"]

CostEstimate = Cost
"""Expected amounts; unlimited axes do not count."""


class CostModel(Protocol):
    """An expectation. An instance serves many runs."""

    name: str

    def estimate(self, view: StateView, move: Move) -> CostEstimate:
        """Expected cost of one move. An exception puts the built-in model in its place for that step."""

    def observe(self, move: Move, usage: Usage) -> None:
        """Called once per finished step with what was charged. What is learnt here crosses runs; ours learn nothing."""


class RunningMedianCost:
    """The median of what such steps took earlier in the same run; before the first one the config's expectation.

    The run's own history is in its state, so that runs do not influence each other and a restored run goes on alike.
    A proposal includes the search that must follow it, if the config says so.
    """

    name = "running_median"

    def __init__(self, options: NoOptions | None = None) -> None:
        """Takes options as registered models do, and has none."""

    def estimate(self, view: StateView, move: Move) -> CostEstimate:
        """See the class."""
        expected = view.digest.expected
        if move.kind == "SEARCH":
            search = expected["SEARCH"]
            return search.model_copy(update={"per_tool": {move.tool: 1}, "host_steps": 1})
        cost = expected.get(move.kind, expected["ANSWER"])
        if move.kind == "DECOMPOSE" and view.config.bundle_followup:
            search = expected["SEARCH"]
            tool = view.digest.searches[0].tool
            seconds = cost.seconds + search.seconds
            return cost.model_copy(update={"tool_calls": 1, "per_tool": {tool: 1}, "host_steps": 1, "seconds": seconds})
        return cost

    def observe(self, move: Move, usage: Usage) -> None:
        """Nothing: see the class."""


class PricedCost(RunningMedianCost):
    """For those who mind the bill alone: the price of what the running medians expect, and nothing else.

    Without a price table every move is free, so only value decides.
    """

    name = "priced"

    def estimate(self, view: StateView, move: Move) -> CostEstimate:
        """See the class."""
        amounts = super().estimate(view, move).amounts()
        return Cost(money=view.prices.micros(amounts) / MICRO if view.prices else 0.0)
