"""Simulated outcomes as tables for the terminal and as JSON."""

import json
import math
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from gainful.sparkv.planner import Prediction
from gainful.sparkv.scenarios import SWEEP_RTT_MS, SWEEP_TOKENS, Cell, Outcome, Setting

__all__ = ["as_json", "print_sweep", "print_table"]

_COLUMNS = {
    "compute_only_s": "compute",
    "stream_only_s": "stream",
    "static_s": "static split",
    "two_pointers_s": "two pointers",
    "whole_steps_s": "whole steps",
    "advised_s": "advised",
    "hindsight_s": "hindsight",
}
"""Fields of an outcome and what their columns are called."""
_WIDTH = 100
"""At least, where the terminal is narrower or none."""


def as_json(cells: Iterable[Cell]) -> str:
    """A list of records, one per situation."""
    return json.dumps([_record(*cell) for cell in cells], indent=2, allow_nan=False)


def _record(setting: Setting, outcome: Outcome) -> dict[str, object]:
    """One situation; null is never."""
    prediction = outcome.plan.prediction
    assert isinstance(prediction, Prediction)  # noqa: S101 - a setting knows its rates
    seconds = {name: getattr(outcome, name) for name in _COLUMNS}
    return {
        "situation": outcome.name,
        "num_tokens": setting.num_tokens,
        "mbit_per_second": setting.mbit_per_second,
        "round_trip_ms": setting.round_trip_ms,
        "chunk_tokens": setting.chunk_tokens,
        **{name: None if math.isinf(value) else value for name, value in seconds.items()},
        "plan_route": outcome.plan.route,
        "plan_reason": outcome.plan.reason,
        "plan_split_chunks": outcome.plan.split,
        "plan_seconds": prediction.seconds,
        "bound_s": prediction.bound_seconds,
    }


def print_table(cells: Iterable[Cell]) -> None:
    """One row per situation, in seconds."""
    table = Table(title="simulated 8B model, seconds", title_justify="left")
    table.add_column("situation", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    for _, outcome in cells:
        seconds = [getattr(outcome, name) for name in _COLUMNS]
        table.add_row(outcome.name, *("never" if math.isinf(value) else f"{value:.1f}" for value in seconds))
    _console().print(table)


def print_sweep(cells: Sequence[Cell]) -> None:
    """One table per round trip, and how far from the best in hindsight the worst cell is."""
    console = _console()
    for round_trip_ms in SWEEP_RTT_MS:
        console.print(_sweep_table([cell for cell in cells if cell[0].round_trip_ms == round_trip_ms], round_trip_ms))
    for name in ("static_s", "two_pointers_s", "whole_steps_s", "advised_s"):
        worst = max(getattr(outcome, name) / outcome.hindsight_s for _, outcome in cells)
        console.print(f"{_COLUMNS[name]}, worst of {len(cells)} over hindsight: {worst:.3f}", highlight=False)


def _sweep_table(cells: Sequence[Cell], round_trip_ms: float) -> Table:
    """One row per bandwidth, one column per length; each cell says seconds and how many times faster."""
    title = f"round trip {round_trip_ms:g} ms: seconds of two pointers, x faster than the better single route"
    table = Table("Gbit/s", title=title, title_justify="left")
    for num_tokens in SWEEP_TOKENS:
        table.add_column(f"{num_tokens // 1024}K tokens", justify="right", no_wrap=True)
    rows: dict[float, list[str]] = {}
    for setting, outcome in cells:
        single = min(outcome.compute_only_s, outcome.stream_only_s)
        text = f"{outcome.two_pointers_s:.2f} {single / outcome.two_pointers_s:.2f}x"
        rows.setdefault(setting.mbit_per_second, []).append(text)
    for mbit, texts in rows.items():
        table.add_row(f"{mbit / 1000:g}", *texts)
    return table


def _console() -> Console:
    return Console(width=max(_WIDTH, Console().width))
