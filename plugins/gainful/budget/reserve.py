"""What is held for the answer from the start."""

import math

from gainful.budget.axes import HOST_STEPS, INPUT_TOKENS, LLM_CALLS, MONEY, OUTPUT_TOKENS, SECONDS
from gainful.budget.config import ControllerConfig
from gainful.budget.prices import PriceTable
from gainful.budget.types import Budget

__all__ = ["answer_reserve"]


def answer_reserve(
    budget: Budget, limits: dict[str, int], prices: PriceTable | None, config: ControllerConfig
) -> dict[str, int]:
    """Amount per limited axis that only the answer may draw on, in the ledger's integers; never above the limit.

    Output tokens: min(K, max(24, ceil(0.15 K))) or what the budget says. One model call, one step of the host. Of
    seconds and input tokens a share. Money: the price of the tokens held, or a share, whichever is more (ours).
    """
    shares = {SECONDS: config.answer_time_share, INPUT_TOKENS: config.reserve_share, MONEY: config.reserve_share}
    held = {axis: math.ceil(share * limits[axis]) for axis, share in shares.items() if axis in limits}
    tokens = budget.answer_reserve
    if tokens is None:
        tokens = max(config.reserve_floor_tokens, math.ceil(config.reserve_share * limits.get(OUTPUT_TOKENS, 0)))
    held |= {OUTPUT_TOKENS: tokens, LLM_CALLS: 1, HOST_STEPS: 1}
    if prices and MONEY in limits:
        held[MONEY] = max(held[MONEY], prices.micros(held))
    return {axis: min(amount, limits[axis]) for axis, amount in held.items() if axis in limits}
