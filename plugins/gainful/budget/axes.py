"""The axes of a budget and their units. Inside the ledger every amount is an integer, so that sums are exact."""

from collections.abc import Iterable

__all__ = [
    "AXES",
    "CALL_AXES",
    "HOST_STEPS",
    "INPUT_TOKENS",
    "LLM_CALLS",
    "MICRO",
    "MONEY",
    "OUTPUT_TOKENS",
    "SECONDS",
    "TOOL_CALLS",
    "Amount",
    "from_units",
    "in_order",
    "is_call_axis",
    "to_units",
    "tool_axis",
]

Amount = int | float

TOOL_CALLS = "tool_calls"
OUTPUT_TOKENS = "output_tokens"
LLM_CALLS = "llm_calls"
SECONDS = "seconds"
INPUT_TOKENS = "input_tokens"
MONEY = "money"
HOST_STEPS = "host_steps"

AXES = (TOOL_CALLS, OUTPUT_TOKENS, LLM_CALLS, SECONDS, INPUT_TOKENS, MONEY, HOST_STEPS)
"""All axes but those of single tools, in the order in which they are shown and checked."""

CALL_AXES = (TOOL_CALLS, LLM_CALLS, HOST_STEPS)
"""Axes that count starts: what was started is never given back, and no report can make it less."""

MICRO = 1_000_000
"""Micro-units in a unit: microseconds in a second, micro-units of the price table's currency in one of it."""

_TOOL = "tool:"


def tool_axis(name: str) -> str:
    """The axis of one tool's own limit."""
    return _TOOL + name


def is_call_axis(axis: str) -> bool:
    """True for axes that count starts."""
    return axis in CALL_AXES or axis.startswith(_TOOL)


def in_order(axes: Iterable[str]) -> list[str]:
    """`axes` in the order of `AXES`, those of single tools last and by name."""
    return sorted(axes, key=lambda axis: (AXES.index(axis) if axis in AXES else len(AXES), axis))


def to_units(axis: str, amount: int) -> Amount:
    """Seconds and money as floats in whole units; calls, tokens and steps as they are."""
    return amount / MICRO if axis in (SECONDS, MONEY) else amount


def from_units(axis: str, amount: Amount) -> int:
    """The ledger's integer; seconds and money are rounded to the nearest micro-unit."""
    return round(amount * MICRO) if axis in (SECONDS, MONEY) else int(amount)
