"""Simulated outcomes as tables for the terminal and as JSON."""

import json
import math
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from gainful.sparkv.planner import Prediction
from gainful.sparkv.scenarios import SWEEP_RTT_MS, SWEEP_TOKENS, Cell, Outcome, Setting

__all__ = ["as_json", "print_sweep", "print_table"]

_STRATEGIES = ("compute_only_s", "stream_only_s", "static_s", "two_pointers_s", "whole_steps_s", "hindsight_s")
_HEADINGS = ("compute only", "stream only", "static split", "two pointers", "in whole steps", "hindsight best")


def as_json(cells: Iterable[Cell]) -> str:
    """A list of records, one per situation."""
    return json.dumps([_record(*cell) for cell in cells], indent=2, allow_nan=False)


def _record(setting: Setting, outcome: Outcome) -> dict[str, object]:
    """One situation; null is never."""
    prediction = outcome.plan.prediction
    assert isinstance(prediction, Prediction)  # noqa: S101 - a setting knows its rates
    seconds = {name: getattr(outcome, name) for name in _STRATEGIES}
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
    """One row per situation."""
    table = Table("situation, seconds", title="simulated 8B model", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for _, outcome in cells:
        seconds = [getattr(outcome, name) for name in _STRATEGIES]
        table.add_row(outcome.name, *("never" if math.isinf(value) else f"{value:.1f}" for value in seconds))
    Console().print(table)


def print_sweep(cells: Sequence[Cell]) -> None:
    """One table per round trip, and how far from the best in hindsight the worst cell is."""
    console = Console()
    for round_trip_ms in SWEEP_RTT_MS:
        console.print(_sweep_table([cell for cell in cells if cell[0].round_trip_ms == round_trip_ms], round_trip_ms))
    over = [outcome.two_pointers_s / outcome.hindsight_s for _, outcome in cells]
    steps = [outcome.whole_steps_s / outcome.hindsight_s for _, outcome in cells]
    console.print(f"two pointers over hindsight best, worst of {len(cells)}: {max(over):.3f}", highlight=False)
    console.print(f"the same in whole steps: {max(steps):.3f}", highlight=False)


def _sweep_table(cells: Sequence[Cell], round_trip_ms: float) -> Table:
    """One row per bandwidth, one column per length; each cell says seconds and how many times faster."""
    title = f"round trip {round_trip_ms:g} ms: seconds of two pointers (x faster than the better single route)"
    table = Table("Gbit/s", title=title, title_justify="left")
    for num_tokens in SWEEP_TOKENS:
        table.add_column(f"{num_tokens // 1024}K tokens", justify="right")
    rows: dict[float, list[str]] = {}
    for setting, outcome in cells:
        single = min(outcome.compute_only_s, outcome.stream_only_s)
        text = f"{outcome.two_pointers_s:.2f} ({single / outcome.two_pointers_s:.2f}x)"
        rows.setdefault(setting.mbit_per_second, []).append(text)
    for mbit, texts in rows.items():
        table.add_row(f"{mbit / 1000:g}", *texts)
    return table
