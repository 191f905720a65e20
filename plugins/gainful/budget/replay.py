"""Run a trace again and compare: every decision is recomputed from what was observed, none is taken on trust."""

from collections.abc import Iterator, Mapping

from gainful.budget.axes import to_units
from gainful.budget.controller import Controller
from gainful.budget.recording import versions
from gainful.budget.trace import GrantRecord, StartRecord, StepRecord, Trace
from gainful.budget.types import Record
from gainful.errors import InputError

__all__ = ["Difference", "Replay", "replay"]

_NOT_COMPARED = frozenset({"usage", "versions"})
"""Where the usage came from is known to the run alone; another version is reported, not a difference."""


class Difference(Record):
    """One field that came out otherwise."""

    record: int
    """Place in the trace, from 0."""
    field: str
    stored: str
    recomputed: str


class Replay(Record):
    """What a replay found."""

    differences: tuple[Difference, ...]
    same_versions: bool
    """Bit for bit equality is promised only for the same versions of Python, pydantic and gainful."""
    num_records: int

    @property
    def matches(self) -> bool:
        """True if nothing came out otherwise."""
        return not self.differences


def replay(trace: Trace, controller: Controller | None = None) -> Replay:
    """Drive a fresh run with the observations of `trace` and compare all records bit for bit.

    Args:
        trace: A finished or unfinished run, not redacted.
        controller: Needed if the run had value or cost models that are not registered by name, or its own finalizer.

    Raises:
        InputError: The trace has no start record, or is redacted.
    """
    start = trace.records[0] if trace.records else None
    if not isinstance(start, StartRecord) or trace.is_redacted:
        found = "a redacted one" if trace.is_redacted else "one without a start record"
        raise InputError(f"replay: needs a whole trace with its texts, got {found}; write it with redact=False")
    controller = controller or _like(start)
    again = _run_again(trace, start, controller)
    return Replay(
        differences=tuple(_differences(trace, again)),
        same_versions=dict(start.versions) == dict(versions()),
        num_records=len(trace.records),
    )


def _like(start: StartRecord) -> Controller:
    return Controller(
        config=start.config, value_model=start.value_model, cost_model=start.cost_model, prices=start.prices
    )


def _run_again(trace: Trace, start: StartRecord, controller: Controller) -> Trace:
    """Elapsed time stands in for the clock. Ends early where a step can no longer be taken."""
    state = controller.start(
        start.question, start.budget, 0.0, tools=start.tools, host_steps=start.host_steps, run_id=start.run_id
    )
    for record in trace.records:
        if isinstance(record, GrantRecord):
            controller.grant(state, record.cost, record.reason, _seconds(record.t))
        elif isinstance(record, StepRecord):
            if state.done:
                break
            decision = controller.decide(state, _seconds(record.t))
            action = controller.begin(state, decision, _seconds(record.t_begin))
            controller.observe(state, action, record.observation, _seconds(record.t_end))
    last = trace.records[-1]
    if last.record == "finish":
        # a step that was still open at the end was recorded as cancelled, and is not open here
        controller.finish(state, _seconds(last.t), cancelled=last.exit_reason == "cancelled")
    return state.trace


def _seconds(elapsed: int) -> float:
    return float(to_units("seconds", elapsed))


def _differences(stored: Trace, again: Trace) -> Iterator[Difference]:
    for place, record in enumerate(stored.records):
        if place >= len(again.records):
            yield Difference(record=place, field="record", stored=record.record, recomputed="none")
            return
        yield from _fields(place, record.model_dump(), again.records[place].model_dump())


def _fields(place: int, stored: Mapping[str, object], again: Mapping[str, object]) -> Iterator[Difference]:
    for field in {**stored, **again}:
        old, new = stored.get(field), again.get(field)
        if field not in _NOT_COMPARED and old != new:
            yield Difference(record=place, field=field, stored=repr(old), recomputed=repr(new))
