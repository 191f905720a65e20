"""What settling a reservation charges: the report where there is a credible one, else what was reserved."""

from collections.abc import Mapping

from gainful.budget.axes import (
    HOST_STEPS,
    INPUT_TOKENS,
    LLM_CALLS,
    MONEY,
    OUTPUT_TOKENS,
    SECONDS,
    TOOL_CALLS,
    from_units,
    is_call_axis,
    to_units,
)
from gainful.budget.prices import PriceTable
from gainful.budget.types import Overrun, Reservation, Usage, UsageSource

__all__ = ["charged", "overrun", "usage_source"]


def charged(
    reservation: Reservation, usage: Usage | None, prices: PriceTable | None, *, at_least_reserved: bool
) -> dict[str, int]:
    """Per axis: the reported amount; the reserved one where there is no report, or a smaller number of calls."""
    reserved = {axis: amount for axis, amount in reservation.amounts.items() if axis != SECONDS}
    if usage is None:
        return reserved
    reported = _reported(usage, reserved)
    charged = reserved | reported
    if MONEY not in reported and prices:
        charged[MONEY] = prices.micros(charged, cached_tokens=usage.cached_input_tokens or 0)
    keep = {axis for axis in reserved if at_least_reserved or is_call_axis(axis)}
    return {axis: max(amount, reserved[axis]) if axis in keep else amount for axis, amount in charged.items()}


def _reported(usage: Usage, reserved: Mapping[str, int]) -> dict[str, int]:
    """What a report says, per axis. Calls of a step with one tool are calls of that tool."""
    given = {axis: getattr(usage, axis) for axis in (TOOL_CALLS, LLM_CALLS, OUTPUT_TOKENS, INPUT_TOKENS)}
    reported = {axis: amount for axis, amount in given.items() if amount is not None}
    tools = [axis for axis in reserved if is_call_axis(axis) and axis not in (TOOL_CALLS, LLM_CALLS, HOST_STEPS)]
    if len(tools) == 1 and TOOL_CALLS in reported:
        reported[tools[0]] = reported[TOOL_CALLS]
    if usage.money is not None:
        reported[MONEY] = from_units(MONEY, usage.money)
    return reported


def usage_source(reservation: Reservation, usage: Usage | None) -> UsageSource:
    """Reported only if nothing that was reserved in tokens is unknown."""
    tokens = [axis for axis in (OUTPUT_TOKENS, INPUT_TOKENS) if axis in reservation.amounts]
    if usage is None or any(getattr(usage, axis) is None for axis in tokens):
        return "full_reservation"
    return usage.source


def overrun(axis: str, reservation: Reservation, charged: int) -> Overrun:
    reserved = to_units(axis, reservation.amounts.get(axis, 0))
    return Overrun(resource=axis, purpose=reservation.purpose, reserved=reserved, reported=to_units(axis, charged))
