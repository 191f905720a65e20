"""The one account that all runs share. What a request may cost is set aside before it is sent."""

from gainful.budget import ANSWER, Budget, Cost, Ledger, PriceTable, Refusal, Reservation, Usage
from gainful.budget.axes import MICRO, MONEY
from gainful.errors import GainfulError

_TEMPLATE_TOKENS = 1024
"""What a server's chat template may add to a request (ours)."""


class CapReachedError(GainfulError):
    """The next request might cost more than is left."""


class Till:
    """The money of all runs together, those of earlier commands on the same store included.

    Without prices, which is for local models only, nothing is counted.
    """

    def __init__(self, prices: PriceTable | None, max_usd: float | None, spent_micros: int = 0) -> None:
        self.prices, self.max_usd, self.ledger = prices, max_usd, None
        if prices is None or max_usd is None:
            return
        self.ledger = Ledger(Budget(money=max_usd), prices=prices)
        if spent_micros:
            held = self.ledger.reserve(Cost(money=spent_micros / MICRO), ANSWER)
            if isinstance(held, Refusal):
                raise CapReachedError(
                    f"the runs of this store cost {spent_micros / MICRO:.4f} so far, the cap is {max_usd:g}; "
                    "raise --max-usd"
                )
            self.ledger.settle(held.id)

    def reserve(self, num_bytes: int, cap: int) -> Reservation | None:
        """No more tokens than bytes go in, and no more than the cap comes out: this is the most it can cost."""
        if self.ledger is None:
            return None
        cost = Cost(input_tokens=num_bytes + _TEMPLATE_TOKENS, output_tokens=cap)
        held = self.ledger.reserve(cost, ANSWER)
        if isinstance(held, Refusal):
            raise CapReachedError(
                f"the cap of {self.max_usd:g} is reached: {held.used:.4f} spent or in use, and the next request may "
                f"cost {held.asked:.4f}; all answers are kept, so run again with a higher --max-usd to go on"
            )
        return held

    def settle(self, held: Reservation | None, usage: Usage | None) -> int:
        """What is charged, in micro-units; everything that was reserved if nothing is known."""
        if held is None or self.ledger is None:
            return 0
        return int(self.ledger.settle(held.id, usage).amounts.get(MONEY, 0))

    def release(self, held: Reservation | None) -> int:
        if held is not None and self.ledger is not None:
            self.ledger.release(held.id)
        return 0


def reserved_micros(held: Reservation | None) -> int:
    return 0 if held is None else int(held.amounts.get(MONEY, 0))
