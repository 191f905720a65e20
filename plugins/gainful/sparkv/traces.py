"""Rates over time: bandwidth of a link, or speed of an engine that shares its processor."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gainful.errors import InputError
from gainful.sparkv.chunks import FloatArray

__all__ = ["RateTrace", "constant", "jitter", "outage", "read_trace", "step", "wifi"]

_MAX_FILE_BYTES = 64 << 20


class RateTrace:
    """A rate that is constant between points in time; the last one holds for ever.

    Args:
        times_s: [P], the first 0, rising.
        rates: [P], work per second from each time on; >= 0, and 0 is an outage.

    Raises:
        InputError: Anything else.
    """

    def __init__(self, times_s: Sequence[float] | FloatArray, rates: Sequence[float] | FloatArray) -> None:
        times, values = np.asarray(times_s, dtype=np.float64), np.asarray(rates, dtype=np.float64)
        if times.ndim != 1 or times.shape != values.shape or not times.size:
            raise InputError(f"RateTrace: expected [P] and [P], got {list(times.shape)} and {list(values.shape)}")
        if times[0] != 0.0 or not np.all(np.diff(times) > 0.0) or not np.isfinite(times[-1]):
            raise InputError("RateTrace: times must be finite, rise, and begin with 0")
        if not (np.all(values >= 0.0) and np.all(np.isfinite(values))):
            raise InputError("RateTrace: rates must be finite and >= 0")
        self.times_s, self.rates = times, values
        self._done = np.concatenate(([0.0], np.cumsum(np.diff(times) * values[:-1])))

    def work_until(self, time_s: float) -> float:
        """Work done from 0 to `time_s`."""
        place = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return float(self._done[place] + (time_s - self.times_s[place]) * self.rates[place])

    def finish(self, start_s: float, work: float) -> float:
        """When `work` that begins at `start_s` is done; infinity if it never is."""
        return float(self.finishes(start_s, np.array([work]))[0])

    def finishes(self, start_s: float, work: FloatArray) -> FloatArray:
        """The same for several amounts [W], each counted from `start_s`."""
        if not math.isfinite(start_s):
            return np.full(work.shape, np.inf)
        wanted = self.work_until(start_s) + work
        place = np.maximum(np.searchsorted(self._done, wanted, side="left") - 1, 0)
        rates = self.rates[place]
        missing = wanted - self._done[place]
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = self.times_s[place] + np.where(missing > 0.0, missing / rates, 0.0)
        return np.where(work > 0.0, np.maximum(ends, start_s), start_s)


def constant(rate: float) -> RateTrace:
    """The same rate for ever."""
    return RateTrace([0.0], [rate])


def step(before: float, after: float, at_s: float) -> RateTrace:
    """One rate, and another from `at_s` on."""
    return RateTrace([0.0, at_s], [before, after])


def outage(rate: float, begin_s: float, end_s: float = math.inf) -> RateTrace:
    """Nothing from `begin_s` to `end_s`, or for ever."""
    if math.isinf(end_s):
        return step(rate, 0.0, begin_s)
    return RateTrace([0.0, begin_s, end_s], [rate, 0.0, rate])


def jitter(rate: float, spread: float, *, every_s: float, seconds: float, seed: int) -> RateTrace:
    """A rate drawn anew every `every_s`: log-normal around a mean of `rate`, `spread` its standard deviation of log."""
    times = np.arange(0.0, seconds, every_s)
    draws = np.random.default_rng(seed).normal(0.0, spread, len(times))
    return RateTrace(times, rate * np.exp(draws - spread**2 / 2))


WIFI_SHARES = (1.0, 0.5, 0.2, 0.02)
"""Rates of the states of `wifi`, in shares of the best: near, far, contended, handing over. Ours."""
_STAY = 0.9
"""Chance of the same state 100 ms later; the next one is beside it. Ours."""


def wifi(rate: float, *, seconds: float, seed: int, every_s: float = 0.1) -> RateTrace:
    """A Markov chain over four states, as a wireless link moves between them. Synthetic: fitted to no recording."""
    draw = np.random.default_rng(seed)
    times = np.arange(0.0, seconds, every_s)
    moves = np.where(draw.random(len(times)) < _STAY, 0, draw.choice([-1, 1], len(times)))
    states = np.empty(len(times), dtype=np.intp)
    state = 0
    for place, move in enumerate(moves.tolist()):  # each state depends on the one before it
        state = min(max(state + move, 0), len(WIFI_SHARES) - 1)
        states[place] = state
    return RateTrace(times, rate * np.asarray(WIFI_SHARES)[states])


def read_trace(path: Path, *, unit: float = 1.0) -> RateTrace:
    """A recording: lines `seconds,rate`, a header allowed; `unit` is what one of the file's rates is, in bytes/s.

    Raises:
        InputError: The file is too long, or a line is not two numbers.
        OSError: It cannot be read.
    """
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(f"{path}: expected a trace of at most {_MAX_FILE_BYTES} bytes, got {path.stat().st_size}")
    points: list[tuple[float, float]] = []
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            try:
                time, rate = (float(cell) for cell in row)
            except ValueError as error:
                if number == 1:  # a header
                    continue
                raise InputError(f"{path}:{number}: expected seconds,rate, got {','.join(row)[:80]!r}") from error
            points.append((time, rate * unit))
    if not points:
        raise InputError(f"{path}: expected lines seconds,rate, got none")
    times, rates = zip(*points, strict=True)
    return RateTrace([time - times[0] for time in times], rates)
