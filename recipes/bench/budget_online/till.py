"""The one account that all runs share. What a request may cost is set aside before it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

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
        self.changed = Condition()
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

    @contextmanager
    def holding(self, num_bytes: int, cap: int) -> Iterator["Hold"]:
        """Set aside the most that a request can cost: no more tokens than bytes go in, no more than the cap comes out.

        Waits while other requests hold what it lacks. What was neither settled nor given back at the end is charged.

        Raises:
            CapReachedError: It does not fit, and nobody else holds anything.
        """
        hold = Hold(self, self._reserved(Cost(input_tokens=num_bytes + _TEMPLATE_TOKENS, output_tokens=cap)))
        try:
            yield hold
        finally:
            if hold.is_open:
                hold.settle(None)

    def _reserved(self, cost: Cost) -> Reservation | None:
        if self.ledger is None:
            return None
        with self.changed:
            while isinstance(held := self.ledger.reserve(cost, ANSWER), Refusal):
                if not self.ledger.open_reservations:
                    raise CapReachedError(
                        f"the cap of {self.max_usd:g} is reached: {held.used:.4f} spent, and the next request may cost "
                        f"{held.asked:.4f}; all answers are kept, so run again with a higher --max-usd to go on"
                    )
                self.changed.wait()
            return held


class Hold:
    """What is set aside for one request. Amounts are micro-units; without a ledger all are 0."""

    def __init__(self, till: Till, reservation: Reservation | None) -> None:
        self.till, self.reservation = till, reservation
        self.is_open = reservation is not None
        self.micros = 0 if reservation is None else int(reservation.amounts.get(MONEY, 0))

    def settle(self, usage: Usage | None) -> int:
        """What is charged; everything that was set aside if nothing is known."""
        if self.reservation is None or self.till.ledger is None:
            return 0
        with self.till.changed:
            self.is_open = False
            charge = self.till.ledger.settle(self.reservation.id, usage)
            self.till.changed.notify_all()
        return int(charge.amounts.get(MONEY, 0))

    def release(self) -> int:
        """Nothing is charged."""
        if self.reservation is not None and self.till.ledger is not None:
            with self.till.changed:
                self.is_open = False
                self.till.ledger.release(self.reservation.id)
                self.till.changed.notify_all()
        return 0
