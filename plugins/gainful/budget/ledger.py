"""Reserve before, settle after: the guarantee. Whatever a score says, nothing starts here that does not fit."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from gainful.budget.axes import (
    HOST_STEPS,
    INPUT_TOKENS,
    MICRO,
    MONEY,
    SECONDS,
    Amount,
    in_order,
    to_units,
)
from gainful.budget.charging import charged, overrun, usage_source
from gainful.budget.clock import Stopwatch
from gainful.budget.config import ControllerConfig
from gainful.budget.prices import PriceTable
from gainful.budget.reserve import answer_reserve
from gainful.budget.types import (
    ANSWER,
    AxisUse,
    Budget,
    Charge,
    Cost,
    Grant,
    Overrun,
    Record,
    Refusal,
    Reservation,
    Usage,
    UsageSource,
)
from gainful.errors import ConfigError, InputError

__all__ = ["Ledger", "LedgerSnapshot"]

_ESTIMATED_AXES = (INPUT_TOKENS, MONEY)
_DEFAULTS = ControllerConfig()


class LedgerSnapshot(Record):
    """All of a ledger but its lock and its clock reading. Amounts are the ledger's integers."""

    budget: Budget
    prices: PriceTable | None
    limits: Mapping[str, int]
    held: Mapping[str, int]
    spent: Mapping[str, int]
    open: tuple[Reservation, ...]
    lapsed: tuple[Reservation, ...]
    next_id: int
    elapsed: int
    stopped: bool
    overruns: tuple[Overrun, ...]
    grants: tuple[Grant, ...]
    audit_ok: bool


class Ledger:
    """The accounts of one run. Never share one between runs.

    `reserve` is called once per step by whoever does the I/O, before it starts; the reservation must then reach
    `settle` exactly once, also when the step fails, or `release` if it never started. All methods may be called from
    several threads. Time comes in as `now`, seconds of a monotonic clock; without it the last reading counts.

    Args:
        budget: The limits.
        now: The moment at which the run starts.
        prices: Needed for a limit on money.
        host_steps: Steps that the host's own loop can still take, as one more limit; None if it has none.
        config: Where the size of the answer reserve comes from.

    Raises:
        ConfigError: Money is limited and there is no price table.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        now: float | None = None,
        prices: PriceTable | None = None,
        host_steps: int | None = None,
        config: ControllerConfig = _DEFAULTS,
    ) -> None:
        limits = budget.limits()
        if MONEY in limits and prices is None:
            raise ConfigError("ledger: a limit on money needs prices, found none; pass prices=PriceTable(...)")
        if host_steps is not None:
            limits[HOST_STEPS] = max(host_steps, 0)
        self._lock = threading.RLock()
        self._watch = Stopwatch()
        self._watch.read(now)
        self.budget, self.prices = budget, prices
        self._limits = limits
        self._order = in_order(limits)
        self._held = answer_reserve(budget, limits, prices, config)
        self._spent: dict[str, int] = {}
        self._reserved: dict[str, int] = {}
        self._open: dict[int, Reservation] = {}
        self._lapsed: dict[int, Reservation] = {}
        self._next_id = 1
        self._overruns: list[Overrun] = []
        self._grants: list[Grant] = []
        self._audit_ok = True

    # asking

    def check(self, cost: Cost, purpose: str, now: float | None = None) -> Refusal | None:
        """Why `cost` would not be reserved, or None. Changes nothing."""
        with self._lock:
            return self._check(self.priced(cost), purpose, self._watch.peek(now))

    def elapsed(self, now: float | None = None) -> int:
        """Microseconds of the run at the reading `now`, or at the last one."""
        with self._lock:
            return self._watch.peek(now)

    def priced(self, cost: Cost) -> dict[str, int]:
        """The amounts of `cost` in the ledger's integers, with money from the price table where it is not given."""
        amounts = cost.amounts()
        if self.prices and MONEY not in amounts:
            amounts[MONEY] = self.prices.micros(amounts)
        return amounts

    def left(self, now: float | None = None) -> dict[str, int]:
        """Per limited axis: limit less spent and reserved, in the ledger's integers, negative after an overrun.

        Of seconds only those that have passed are gone: time runs for all open steps at once.
        """
        with self._lock:
            elapsed = self._watch.peek(now)
            return {axis: limit - self._used(axis, elapsed) for axis, limit in self._limits.items()}

    def room(self, purpose: str, now: float | None = None) -> dict[str, Amount]:
        """Per limited axis, in its own unit: the most that one reservation for `purpose` could ask for, at least 0."""
        held = {} if purpose == ANSWER else self._held
        return {axis: to_units(axis, max(0, left - held.get(axis, 0))) for axis, left in self.left(now).items()}

    def usage(self, now: float | None = None) -> tuple[AxisUse, ...]:
        """All limited axes, for people and reports."""
        with self._lock:
            elapsed = self._watch.peek(now)
            return tuple(self._axis_use(axis, elapsed) for axis in self._order)

    def spent(self, now: float | None = None) -> dict[str, Amount]:
        """What was spent on every axis that was touched, limited or not, in its own unit."""
        with self._lock:
            spent = {**self._spent, SECONDS: self._watch.peek(now)}
            return {axis: to_units(axis, spent[axis]) for axis in in_order(spent)}

    @property
    def limits(self) -> Mapping[str, int]:
        """Limit per limited axis, grants included, in the ledger's integers."""
        return MappingProxyType(self._limits)

    @property
    def held(self) -> Mapping[str, int]:
        """What is held for the answer per limited axis, in the ledger's integers."""
        return MappingProxyType(self._held)

    @property
    def open_reservations(self) -> tuple[Reservation, ...]:
        """Reservations neither settled nor released."""
        with self._lock:
            return tuple(self._open.values())

    def amounts_of(self, reservation_id: int) -> Mapping[str, int]:
        """What was reserved under this id and neither settled nor released, in the ledger's integers.

        Raises:
            InputError: There is no such reservation.
        """
        with self._lock:
            reservation = self._open.get(reservation_id) or self._lapsed.get(reservation_id)
            if reservation is None:
                raise self._unknown(reservation_id)
            return dict(reservation.amounts)

    @property
    def overruns(self) -> tuple[Overrun, ...]:
        """Steps that were reported to have taken more than was reserved."""
        return tuple(self._overruns)

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Raised limits, in order."""
        return tuple(self._grants)

    @property
    def audit_ok(self) -> bool:
        """False once a call or output token was used that was not reserved, or an estimated axis is over its limit."""
        return self._audit_ok

    @property
    def late_seconds(self) -> float:
        """How long after the deadline the last reading was: how slowly running calls were cancelled."""
        limit = self._limits.get(SECONDS)
        return 0.0 if limit is None else max(0, self._watch.peek(None) - limit) / MICRO

    # changing

    def reserve(self, cost: Cost, purpose: str, now: float | None = None) -> Reservation | Refusal:
        """Set `cost` aside on all axes at once, before the step that will spend it, or say what it does not fit.

        Until it is settled the whole amount counts as used. Only the purpose `"answer"` may draw on what is held for
        the answer; for any other, every axis must still cover it afterwards.
        """
        with self._lock:
            amounts, elapsed = self.priced(cost), self._watch.read(now)
            refusal = self._check(amounts, purpose, elapsed)
            if refusal:
                return refusal
            expires = elapsed + amounts.get(SECONDS, 0)
            reservation = Reservation(id=self._next_id, purpose=purpose, amounts=amounts, expires=expires)
            self._next_id += 1
            self._open[reservation.id] = reservation
            _add(self._reserved, amounts)
            return reservation

    def settle(self, reservation_id: int, usage: Usage | None = None, now: float | None = None) -> Charge:
        """Charge a step that was started: what is reported, or in full what is not.

        Calls are charged as reserved even if fewer are reported. More than was reserved is charged too, and recorded
        as an `Overrun`. A reservation that was charged when a snapshot was restored keeps its charge.

        Raises:
            InputError: The reservation was settled or released before, or is not this ledger's.
        """
        with self._lock:
            self._watch.read(now)
            lapsed = reservation_id in self._lapsed
            reservation = self._pop(reservation_id)
            amounts = charged(reservation, usage, self.prices, at_least_reserved=lapsed)
            _add(self._spent, amounts)
            source: UsageSource = "full_reservation" if lapsed else usage_source(reservation, usage)
            return Charge(amounts=amounts, source=source, overruns=self._audit(reservation, amounts))

    def release(self, reservation_id: int, now: float | None = None) -> None:
        """Give back a reservation whose step never started.

        Raises:
            InputError: The reservation was settled or released before, or is not this ledger's.
        """
        with self._lock:
            self._watch.read(now)
            self._pop(reservation_id)

    def grant(self, cost: Cost, reason: str, now: float | None = None) -> Grant:
        """Raise limits by `cost`, for example by what a human allowed. Axes without a limit stay without one."""
        with self._lock:
            amounts = {axis: amount for axis, amount in cost.amounts().items() if axis in self._limits}
            grant = Grant(amounts=amounts, reason=reason, elapsed=self._watch.read(now))
            _add(self._limits, amounts)
            self._grants.append(grant)
            return grant

    def read_clock(self, now: float) -> float:
        """Take a clock reading; returns the elapsed seconds of the run."""
        with self._lock:
            return self._watch.read(now) / MICRO

    def stop_clock(self, now: float) -> None:
        """Stop counting time, while a human is asked."""
        with self._lock:
            self._watch.stop(now)

    def start_clock(self, now: float) -> None:
        """Count time again."""
        with self._lock:
            self._watch.go_on(now)

    # storing

    def snapshot(self) -> LedgerSnapshot:
        """A copy for storage."""
        with self._lock:
            return LedgerSnapshot(
                budget=self.budget,
                prices=self.prices,
                limits=dict(self._limits),
                held=dict(self._held),
                spent=dict(self._spent),
                open=tuple(self._open.values()),
                lapsed=tuple(self._lapsed.values()),
                next_id=self._next_id,
                elapsed=self._watch.peek(None),
                stopped=self._watch.stopped,
                overruns=tuple(self._overruns),
                grants=tuple(self._grants),
                audit_ok=self._audit_ok,
            )

    @classmethod
    def restore(cls, snapshot: LedgerSnapshot) -> "Ledger":
        """A ledger that goes on where `snapshot` was taken. What was open is charged in full: nobody knows its end."""
        ledger = cls(snapshot.budget, prices=snapshot.prices)
        ledger._limits, ledger._held = dict(snapshot.limits), dict(snapshot.held)
        ledger._order = in_order(ledger._limits)
        ledger._spent = dict(snapshot.spent)
        ledger._lapsed = {reservation.id: reservation for reservation in (*snapshot.lapsed, *snapshot.open)}
        for reservation in snapshot.open:
            _add(ledger._spent, reservation.amounts)
        ledger._next_id = snapshot.next_id
        ledger._watch = Stopwatch(snapshot.elapsed)
        ledger._watch.stopped = snapshot.stopped
        ledger._overruns, ledger._grants = list(snapshot.overruns), list(snapshot.grants)
        ledger._audit_ok = snapshot.audit_ok
        return ledger

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.snapshot() == other.snapshot()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Ledger.restore, (self.snapshot(),)  # a copy has its own lock, and charges what is open

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda ledger: ledger.snapshot().model_dump(mode="json")
            ),
        )

    @classmethod
    def _read(cls, value: Any) -> "Ledger":
        return value if isinstance(value, Ledger) else cls.restore(LedgerSnapshot.model_validate(value))

    # inside the lock

    def _used(self, axis: str, elapsed: int) -> int:
        return elapsed if axis == SECONDS else self._spent.get(axis, 0) + self._reserved.get(axis, 0)

    def _reserved_now(self, axis: str, elapsed: int) -> int:
        """Time runs for all open steps at once, so the latest timeout counts, not the sum."""
        if axis == SECONDS:
            return max([elapsed, *(reservation.expires for reservation in self._open.values())]) - elapsed
        return self._reserved.get(axis, 0)

    def _check(self, amounts: Mapping[str, int], purpose: str, elapsed: int) -> Refusal | None:
        """The answer must fit on the axes it asks for, everything else must leave what is held on every axis."""
        for axis in self._order:
            asked = amounts.get(axis, 0)
            held = 0 if purpose == ANSWER else self._held.get(axis, 0)
            used = held + self._used(axis, elapsed)
            limit = self._limits[axis]
            late = axis == SECONDS and elapsed >= limit
            untouched = purpose == ANSWER and not asked
            if late or (used + asked > limit and not untouched):
                return Refusal(
                    resource=axis,
                    limit=to_units(axis, limit),
                    used=to_units(axis, used),
                    asked=to_units(axis, asked),
                )
        return None

    def _pop(self, reservation_id: int) -> Reservation:
        """Take a reservation and its amounts off the accounts, where it is open or was charged by `restore`."""
        for where, account in ((self._open, self._reserved), (self._lapsed, self._spent)):
            if reservation_id in where:
                reservation = where.pop(reservation_id)
                _add(account, reservation.amounts, sign=-1)
                return reservation
        raise self._unknown(reservation_id)

    def _unknown(self, reservation_id: int) -> InputError:
        state = "was settled or released before" if 0 < reservation_id < self._next_id else "is not of this ledger"
        return InputError(f"ledger: reservation {reservation_id} {state}; settle or release each exactly once")

    def _audit(self, reservation: Reservation, charged: Mapping[str, int]) -> tuple[Overrun, ...]:
        """Record what was taken above the reservation. Estimates may err; only their limit must hold."""
        over = [axis for axis in in_order(charged) if axis in self._limits]
        over = [axis for axis in over if charged[axis] > reservation.amounts.get(axis, 0)]
        for axis in over:
            beyond = axis not in _ESTIMATED_AXES or self._spent[axis] > self._limits[axis]
            self._audit_ok = self._audit_ok and not beyond
        overruns = tuple(overrun(axis, reservation, charged[axis]) for axis in over)
        self._overruns.extend(overruns)
        return overruns

    def _axis_use(self, axis: str, elapsed: int) -> AxisUse:
        spent = elapsed if axis == SECONDS else self._spent.get(axis, 0)
        reserved, limit = self._reserved_now(axis, elapsed), self._limits[axis]
        return AxisUse(
            axis=axis,
            limit=to_units(axis, limit),
            spent=to_units(axis, spent),
            reserved=to_units(axis, reserved),
            left=to_units(axis, max(0, limit - spent - reserved)),
        )


def _add(account: dict[str, int], amounts: Mapping[str, int], sign: int = 1) -> None:
    """Book amounts; elapsed time is read from the watch, never booked."""
    for axis, amount in amounts.items():
        if axis != SECONDS:
            account[axis] = account.get(axis, 0) + sign * amount
