"""What a budget is, what a step may cost and what became of it. All frozen, all JSON."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationInfo, field_validator, model_validator

from gainful.budget.axes import AXES, MICRO, MONEY, Amount, from_units, tool_axis
from gainful.budget.levels import BUDGET_LEVELS
from gainful.config import Options
from gainful.errors import ConfigError, did_you_mean

__all__ = [
    "ANSWER",
    "AxisUse",
    "Budget",
    "Charge",
    "Cost",
    "Grant",
    "Overrun",
    "Record",
    "Refusal",
    "Reservation",
    "Usage",
    "UsageSource",
]

ANSWER = "answer"
"""The one purpose that may draw on the answer reserve."""

_ABSURD = MICRO**3  # no report is that large, and JSON readers lose digits beyond
_MAX_DIGITS = 18  # Python refuses to read numbers of thousands
_COUNTS = ("output_tokens", "input_tokens", "cached_input_tokens", "tool_calls", "llm_calls")

UsageSource = Literal["reported", "estimated", "full_reservation"]


class Record(BaseModel):
    """Base of everything that is stored or handed over: frozen, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Budget(Options):
    """Hard limits of one run. None means no limit; at least one limit must be set.

    Calls are exact: what does not fit is refused before it starts. Output tokens are exact as long as the server obeys
    the cap it is sent. Seconds are a deadline: nothing starts after it. Input tokens and money are hard on the estimate
    and settled by what is reported.
    """

    tool_calls: int | None = Field(default=None, ge=0)
    """Calls of all tools together; a failed, timed-out or retried call counts."""
    output_tokens: int | None = Field(default=None, ge=0)
    """Tokens of everything that models write: plans, tool calls, reasoning and the answer."""
    llm_calls: int | None = Field(default=None, ge=0)
    """Calls of language models, the answer's included."""
    seconds: float | None = Field(default=None, ge=0)
    """Wall-clock seconds from the start of the run; waiting for a human is not counted."""
    input_tokens: int | None = Field(default=None, ge=0)
    """Tokens of all prompts together, as estimated before a call and as reported after it."""
    money: float | None = Field(default=None, ge=0)
    """In the currency of the price table; held as integer millionths of it. Needs a `PriceTable`."""
    per_tool: Mapping[str, NonNegativeInt] = Field(default_factory=dict)
    """Calls of single tools, by name; they count towards `tool_calls` too."""
    answer_reserve: int | None = Field(default=None, ge=0)
    """Output tokens that only the answer may use; None takes the share of the config."""
    on_exhausted: Literal["answer", "raise"] = "answer"
    """What an adapter does when nothing but the answer is left: give it, or raise `BudgetExceededError` instead."""

    @model_validator(mode="after")
    def _check(self) -> "Budget":
        if not self.limits():
            raise ValueError("a budget needs at least one limit, such as tool_calls=2; found none")
        return self

    def limits(self) -> dict[str, int]:
        """Limit per limited axis, in the ledger's integers."""
        given = {axis: getattr(self, axis, None) for axis in AXES}
        limits = {axis: from_units(axis, limit) for axis, limit in given.items() if limit is not None}
        return {**limits, **{tool_axis(name): calls for name, calls in self.per_tool.items()}}

    @classmethod
    def parse(cls, value: "str | Budget | Mapping[str, Any]") -> "Budget":
        """Read `"2/300"` (tool calls, output tokens), a level such as `"high_mid"`, a mapping, or a ready budget.

        Raises:
            ConfigError: The text is neither a level nor two whole numbers with a slash between them.
        """
        if isinstance(value, Budget):
            return value
        if isinstance(value, Mapping):
            return cls.model_validate(dict(value))
        calls, slash, tokens = str(value).partition("/")
        if not slash:
            return cls.level(str(value))
        if not all(part.strip().isdecimal() and len(part) <= _MAX_DIGITS for part in (calls, tokens)):
            raise ConfigError(f"budget: expected tool calls / output tokens such as '2/300', got {value!r:.80}")
        return cls(tool_calls=int(calls), output_tokens=int(tokens))

    @classmethod
    def level(cls, name: str) -> "Budget":
        """One of the paper's four levels: low, low_mid, high_mid, high.

        Raises:
            ConfigError: There is no such level.
        """
        if name not in BUDGET_LEVELS:
            known = ", ".join(BUDGET_LEVELS)
            raise ConfigError(
                f"budget: unknown level {name!r}{did_you_mean(name, BUDGET_LEVELS)}; known: {known}, "
                f"or tool calls / output tokens such as '2/300'"
            )
        calls, tokens = BUDGET_LEVELS[name]
        return cls(tool_calls=calls, output_tokens=tokens)


class Cost(Record):
    """The most that one step may take from each axis; what is asked of `Ledger.reserve`."""

    tool_calls: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    llm_calls: int = Field(default=0, ge=0)
    seconds: float = Field(default=0, ge=0)
    """The timeout that the call gets; time runs for all open calls at once, so these do not add up."""
    input_tokens: int = Field(default=0, ge=0)
    money: float | None = Field(default=None, ge=0)
    """In currency; None lets the ledger's price table work it out."""
    host_steps: int = Field(default=0, ge=0)
    """Steps of a host's own loop, where it has a limit of its own."""
    per_tool: Mapping[str, NonNegativeInt] = Field(default_factory=dict)

    @classmethod
    def of_tool(cls, name: str, *, seconds: float = 0, host_steps: int = 0) -> "Cost":
        """One call of the tool `name`."""
        return cls(tool_calls=1, per_tool={name: 1}, seconds=seconds, host_steps=host_steps)

    def amounts(self) -> dict[str, int]:
        """Amount per axis asked for, in the ledger's integers; without money where it is left to the price table."""
        amounts = {axis: from_units(axis, getattr(self, axis) or 0) for axis in AXES}
        if self.money is None:
            del amounts[MONEY]
        amounts = {axis: amount for axis, amount in amounts.items() if amount}
        return {**amounts, **{tool_axis(name): calls for name, calls in self.per_tool.items()}}


class Usage(Record):
    """What a step really took, as the provider reports it. None is unknown and is charged in full.

    A negative, non-finite or absurd number, or what is no number at all, is no report: it counts as unknown.
    """

    output_tokens: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    """The part of `input_tokens` that came from the provider's cache, for the price only."""
    tool_calls: int | None = None
    llm_calls: int | None = None
    money: float | None = None
    """In currency; None lets the ledger's price table work it out."""
    source: Literal["reported", "estimated"] = "reported"

    @field_validator(*_COUNTS, "money", mode="before")
    @classmethod
    def _impossible_is_unknown(cls, value: Any, info: ValidationInfo) -> int | float | None:
        if not _is_possible(value):
            return None
        return float(value) if info.field_name == "money" else math.ceil(value)


def _is_possible(amount: Any) -> bool:
    return isinstance(amount, Real) and not isinstance(amount, bool) and bool(0 <= amount < _ABSURD)  # type: ignore[operator]


class Reservation(Record):
    """What is set aside for one step until it is settled or released. Amounts are the ledger's integers."""

    id: int
    purpose: str
    amounts: Mapping[str, int]
    expires: int = 0
    """Elapsed microseconds of the run at which the step's timeout ends."""


class Refusal(Record):
    """Why a reservation was not given: the first axis on which it does not fit, in that axis's own unit."""

    resource: str
    limit: Amount
    used: Amount
    """Spent, reserved by others and, unless the answer asked, held back for the answer."""
    asked: Amount

    def __str__(self) -> str:
        return f"{self.resource}: limit {self.limit:g}, used or held {self.used:g}, asked {self.asked:g}"


class Overrun(Record):
    """A step was reported to have taken more than was reserved for it."""

    resource: str
    purpose: str
    reserved: Amount
    reported: Amount


class Grant(Record):
    """Somebody, such as a human who was asked, raised limits during the run. Amounts are the ledger's integers."""

    amounts: Mapping[str, int]
    reason: str
    elapsed: int


class Charge(Record):
    """What settling a reservation charged. Amounts are the ledger's integers."""

    amounts: Mapping[str, int]
    source: UsageSource
    overruns: tuple[Overrun, ...] = ()


class AxisUse(Record):
    """One limited axis at one moment, in its own unit: calls, tokens, steps, seconds, or currency."""

    axis: str
    limit: Amount
    spent: Amount
    reserved: Amount
    left: Amount
    """Limit less spent and reserved, never below 0; it includes what is held for the answer."""
