"""The most that each action may take: what the ledger is asked for, and the caps that the host gets.

Caps come from ledger and config alone. No value or cost model has a say in them.
"""

import math
from collections.abc import Mapping

from gainful.budget.actions import Caps
from gainful.budget.axes import (
    HOST_STEPS,
    INPUT_TOKENS,
    MONEY,
    OUTPUT_TOKENS,
    SECONDS,
    Amount,
    from_units,
    to_units,
)
from gainful.budget.config import ControllerConfig
from gainful.budget.ledger import Ledger
from gainful.budget.prices import PriceTable
from gainful.budget.types import ANSWER, Cost, Refusal, Reservation

__all__ = ["answer_cost", "caps_of", "model_step_cost", "search_cost"]

Room = Mapping[str, Amount]


def search_cost(ledger: Ledger, room: Room, tool: str) -> Cost:
    """One call of `tool`, for as long as there is time."""
    return Cost.of_tool(tool, seconds=room.get(SECONDS, 0), host_steps=int(HOST_STEPS in ledger.limits))


def model_step_cost(ledger: Ledger, room: Room, cap: int, config: ControllerConfig) -> Cost | Refusal:
    """A model call before the answer: refused if its output would be cut below `min_step_tokens`."""
    output = int(min(cap, room.get(OUTPUT_TOKENS, cap)))
    if output < min(cap, config.min_step_tokens):
        return _too_little(ledger, OUTPUT_TOKENS, output, min(cap, config.min_step_tokens))
    prompt = _input_cap(ledger, room, config.propose_input_cap)
    if prompt is not None and ledger.prices and MONEY in room:
        prompt = _affordable_input(ledger.prices, room, output, prompt)
    if prompt == 0:
        axis = MONEY if room.get(INPUT_TOKENS, 1) else INPUT_TOKENS
        return _too_little(ledger, axis, 0, 1)
    return Cost(llm_calls=1, output_tokens=output, input_tokens=prompt or 0, seconds=room.get(SECONDS, 0))


def answer_cost(ledger: Ledger, now: float, config: ControllerConfig) -> Cost | Refusal:
    """The answer may take all that is left. Under a limit on money the prompt leaves what the held tokens cost."""
    room = ledger.room(ANSWER, now)
    output = int(room.get(OUTPUT_TOKENS, config.answer_cap))
    prompt = _input_cap(ledger, room, config.answer_input_cap)
    if prompt is not None and ledger.prices and MONEY in room:
        least = min(output, max(1, ledger.held.get(OUTPUT_TOKENS, config.reserve_floor_tokens)))
        prompt = _affordable_input(ledger.prices, room, least, prompt)
        output = _affordable_output(ledger.prices, room, output, prompt)
    if output < 1:
        return _too_little(ledger, OUTPUT_TOKENS if not room.get(OUTPUT_TOKENS, 1) else MONEY, output, 1)
    if prompt == 0:
        return _too_little(ledger, INPUT_TOKENS if not room.get(INPUT_TOKENS, 1) else MONEY, 0, 1)
    return Cost(
        llm_calls=1,
        output_tokens=output,
        input_tokens=prompt or 0,
        seconds=room.get(SECONDS, 0),
        host_steps=int(HOST_STEPS in ledger.limits),
    )


def caps_of(ledger: Ledger, reservation: Reservation) -> Caps:
    """What the host must hold the call to."""
    amounts = reservation.amounts
    timeout = to_units(SECONDS, amounts.get(SECONDS, 0)) if SECONDS in ledger.limits else None
    return Caps(
        max_output_tokens=amounts.get(OUTPUT_TOKENS),
        max_input_tokens=amounts.get(INPUT_TOKENS),
        timeout_seconds=timeout,
    )


def _input_cap(ledger: Ledger, room: Room, cap: int) -> int | None:
    """None if prompts cost nothing that is limited."""
    if INPUT_TOKENS not in ledger.limits and MONEY not in ledger.limits:
        return None
    return int(min(cap, room.get(INPUT_TOKENS, cap)))


def _affordable_input(prices: PriceTable, room: Room, output: int, prompt: int) -> int:
    """The longest prompt up to `prompt` that is affordable beside `output` tokens."""
    money = from_units(MONEY, room[MONEY]) - prices.micros({OUTPUT_TOKENS: output})
    return _affordable(money, prices.input, prompt)


def _affordable_output(prices: PriceTable, room: Room, output: int, prompt: int) -> int:
    money = from_units(MONEY, room[MONEY]) - prices.micros({INPUT_TOKENS: prompt})
    return _affordable(money, prices.output, output)


def _affordable(money: int, price: float, wanted: int) -> int:
    """The most tokens up to `wanted` whose price, rounded up, is at most `money`."""
    if money < 0:
        return 0
    number = wanted if wanted * price <= money else math.floor(money / price)
    while number and math.ceil(number * price) > money:  # a quotient may be rounded up
        number -= 1
    return number


def _too_little(ledger: Ledger, axis: str, room: Amount, needed: int) -> Refusal:
    limit = next(use.limit for use in ledger.usage() if use.axis == axis) if axis in ledger.limits else room
    return Refusal(resource=axis, limit=limit, used=limit - room, asked=needed)
