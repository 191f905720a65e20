"""Calls timed one by one, and the table of medians against limits that the benchmarks of single calls print."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table

MICRO = 1e6
Row = tuple[str, float | None, Sequence[float]]
"""What was timed, its limit in microseconds or None, and microseconds of each call."""


def timed(call: Callable[[], object], calls: int, warm_up: int) -> list[float]:
    """Microseconds of each call."""
    for _ in range(warm_up):
        call()
    samples = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        samples.append((time.perf_counter() - start) * MICRO)
    return samples


def print_rows(rows: Iterable[Row], versions: str, *, digits: int = 0) -> int:
    """Print medians and p99 beside their limits; the exit status, 1 if a median is over its limit."""
    table = Table("", "median us", "p99 us", "limit us", "calls")
    failed = False
    for name, limit, samples in rows:
        median, p99 = statistics.median(samples), sorted(samples)[int(0.99 * len(samples))]
        failed |= limit is not None and median > limit
        limit_text = f"{limit:,.0f}" if limit else "-"
        table.add_row(name, f"{median:,.{digits}f}", f"{p99:,.{digits}f}", limit_text, str(len(samples)))
    console = Console(width=120)
    console.print(table)
    console.print(versions, highlight=False)
    return 1 if failed else 0
