"""What must hold, judged on what was measured: met, missed, or not measured. Medians throughout."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from hindsight import Measured, bound_s
from methods import METHODS, ONE_STEP, OURS, PREFILL, STREAM
from settings import Condition

from gainful.sparkv.costs import ComputeModel

Record = Mapping[str, Any]
EVEN = 1.25
"""Routes whose times differ by no more than this factor count as equally fast."""
GAIN, WORSE, OVER, LONG_TRANSFER_S = 1.6, 1.05, 1.10, 2.0


@dataclass(frozen=True)
class Cell:
    """A method under a condition."""

    runs: int
    median_s: float
    p99_s: float
    same: int
    """Runs whose tokens were those of plain prefill."""
    megabytes: float
    """Median of what came from the store."""
    streamed_tokens: float
    over_bound: float | None


@dataclass(frozen=True)
class Outcome:
    """A condition with all its methods."""

    condition: Condition
    facts: Record
    cells: Mapping[str, Cell]
    bound_s: float | None
    dtype: str
    loads: tuple[float, float]
    """Load averages of the machine, lowest and highest."""

    @property
    def prefill_s(self) -> float | None:
        """The faster of both ways to prefill."""
        return self._best(PREFILL, ONE_STEP)

    @property
    def stream_s(self) -> float | None:
        return self._best(STREAM)

    @property
    def single_s(self) -> float | None:
        """The better single route; a chooser is one of both."""
        return self._best(PREFILL, ONE_STEP, STREAM)

    @property
    def ours_s(self) -> float | None:
        return self._best(OURS)

    def _best(self, *names: str) -> float | None:
        return min((self.cells[name].median_s for name in names if name in self.cells), default=None)


@dataclass(frozen=True)
class Verdict:
    """One bar."""

    bar: str
    met: bool | None
    """None if nothing was measured that it could be judged by."""
    found: str

    @property
    def word(self) -> str:
        return {True: "met", False: "MISSED", None: "not measured"}[self.met]


def outcomes(facts: Sequence[Record], runs: Sequence[Record], dtype: str) -> list[Outcome]:
    """What was measured, by condition."""
    found = []
    floors: dict[int, float] = {}
    for one in facts:
        tokens = one["reusable_tokens"]
        floors[tokens] = min(one["floor_s"], floors.get(tokens, math.inf))
    for one in facts:
        own = [run for run in runs if run["condition"] == one["name"]]
        if own:
            found.append(_outcome({**one, "floor_s": floors[one["reusable_tokens"]]}, own, dtype))
    return found


def _outcome(facts: Record, runs: Sequence[Record], dtype: str) -> Outcome:
    condition = Condition(**facts["condition"])
    by_method = {name: [run for run in runs if run["method"] == name] for name in METHODS}
    prefill = min(
        (_median(by_method[name], "seconds") for name in (PREFILL, ONE_STEP) if by_method[name]), default=None
    )
    bound = _bound(facts, condition, prefill) if prefill is not None and condition.prompts == 1 else None
    cells = {name: _cell(name, own, bound) for name, own in by_method.items() if own}
    loads = [run["load_average"] for run in runs]
    return Outcome(condition, facts, cells, bound, dtype, (min(loads), max(loads)))


def _bound(facts: Record, condition: Condition, prefill_s: float) -> float:
    measured = Measured(
        tokens=facts["reusable_tokens"],
        stored_bytes=facts["stored_bytes"],
        prefill_s=prefill_s,
        floor_s=facts["floor_s"],
        mbit=facts["mbit_measured"],
        rtt_ms=condition.rtt_ms,
        factor=condition.factor,
        after_s=facts["after_s"],
    )
    return bound_s(measured, ComputeModel(**facts["model"]))


def _cell(name: str, runs: Sequence[Record], bound: float | None) -> Cell:
    seconds = [run["seconds"] for run in runs]
    reports = [report for run in runs for report in run["reports"] if report]
    median = statistics.median(seconds)
    return Cell(
        runs=len(runs),
        median_s=median,
        p99_s=float(np.quantile(seconds, 0.99)),
        same=sum(run["same_tokens"] for run in runs),
        megabytes=_median(runs, "received_bytes") / 1e6,
        streamed_tokens=_median(reports, "streamed_tokens") if reports else 0.0,
        # the bound is that of exact bytes: smaller ones may pass below it
        over_bound=median / bound if bound and METHODS[name].exact else None,
    )


def _median(records: Sequence[Record], name: str) -> float:
    return statistics.median(record[name] for record in records)


# the bars


def judge(found: Sequence[Outcome], timed: Sequence[Outcome]) -> list[Verdict]:
    """All bars, in the order of the specification: those of time by `timed`, that of tokens by all that was found."""
    return [_break_even(timed), _never_worse(timed), _near_bound(timed), _after_change(timed), _identical(found)]


def _break_even(found: Sequence[Outcome]) -> Verdict:
    bar = "at the break-even bandwidth at least 1.6x over the better single path"

    even = [one for one in found if one.condition.is_sweep and one.ours_s and 1 / EVEN <= _balance(one) <= EVEN]
    if not even:
        return Verdict(bar, None, "no condition with both routes about equally fast")
    nearest = min(even, key=lambda one: abs(math.log(_balance(one))))
    gain = 1 / (_over_single(nearest) or math.inf)
    return Verdict(bar, gain >= GAIN, f"{gain:.2f}x ({nearest.condition.name})")


def _never_worse(found: Sequence[Outcome]) -> Verdict:
    bar = "nowhere in the sweep more than 5 % worse than the better single path"
    cases = list(_cases((one for one in found if one.condition.is_sweep), _over_single))
    return _worst(bar, cases, lambda value: value <= WORSE, "{:.2f} of the better single path")


def _near_bound(found: Sequence[Outcome]) -> Verdict:
    bar = "T over hindsight bound at most 1.10 for transfers of 2 s and more"
    long = (one for one in found if one.condition.is_sweep and _transfer_s(one) >= LONG_TRANSFER_S)
    return _worst(bar, list(_cases(long, _over_bound)), lambda value: value <= OVER, "{:.2f}")


def _after_change(found: Sequence[Outcome]) -> Verdict:
    bar = "after a /4 drop or an outage within 10 % of hindsight best"
    changed = (one for one in found if one.condition.changes)
    return _worst(bar, list(_cases(changed, _over_bound)), lambda value: value <= OVER, "{:.2f}")


def _identical(found: Sequence[Outcome]) -> Verdict:
    bar = "tokens identical to plain prefill for raw in every run (float32)"
    cells = [
        cell
        for outcome in found
        if outcome.dtype == "float32"
        for name, cell in outcome.cells.items()
        if METHODS[name].exact
    ]
    runs, same = sum(cell.runs for cell in cells), sum(cell.same for cell in cells)
    return Verdict(bar, same == runs if runs else None, f"{same} of {runs} runs")


def _balance(outcome: Outcome) -> float:
    """Seconds of computing over those of streaming; nan, which is near nothing, if one was not run."""
    prefill, stream = outcome.prefill_s, outcome.stream_s
    return prefill / stream if prefill and stream else math.nan


def _over_single(outcome: Outcome) -> float | None:
    return outcome.ours_s / outcome.single_s if outcome.ours_s and outcome.single_s else None


def _over_bound(outcome: Outcome) -> float | None:
    return outcome.ours_s / outcome.bound_s if outcome.ours_s and outcome.bound_s else None


def _transfer_s(outcome: Outcome) -> float:
    """Of everything, at the measured rate."""
    return outcome.facts["stored_bytes"] * 8 / 1e6 / outcome.facts["mbit_measured"]


def _cases(found: Iterator[Outcome], value_of: Callable[[Outcome], float | None]) -> Iterator[tuple[str, float]]:
    for outcome in found:
        value = value_of(outcome)
        if value is not None:
            yield outcome.condition.name, value


def _worst(
    bar: str,
    cases: Sequence[tuple[str, float]],
    holds: Callable[[float], bool],
    form: str,
) -> Verdict:
    """The bar holds if its worst case, the largest, does."""
    if not cases:
        return Verdict(bar, None, "no such condition")
    name, value = max(cases, key=lambda case: case[1])
    met = sum(holds(value) for _, value in cases)
    return Verdict(bar, met == len(cases), f"{met} of {len(cases)} conditions; worst {form.format(value)} ({name})")


def plain_verdicts(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(verdict) for verdict in verdicts]


def as_plain(found: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "name": one.condition.name,
            "dtype": one.dtype,
            "facts": dict(one.facts),
            "bound_s": one.bound_s,
            "load_average": one.loads,
            "methods": {name: asdict(cell) for name, cell in one.cells.items()},
        }
        for one in found
    ]
