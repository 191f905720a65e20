"""Runs the rows of the compatibility matrix: the latest release of each host always, the other rows in turn, by day.

python .ci/rows.py                   # the rows of today (UTC)
python .ci/rows.py all               # every row
python .ci/rows.py verl-oldest lint  # these rows
python .ci/rows.py --dry-run --date 2026-12-24

Says first which rows run and on which day the others do, and last how each one ended. A row that fails stops no other.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALWAYS = ("lint", "docs", "core", "browser", "stores", "llamaindex", "verl", "vllm")
ROTATION = (
    ("verl-oldest",),
    ("core-oldest", "llamaindex-middle", "llamaindex-oldest"),
    ("verl-nodes", "vllm-http"),
)
"""What is added on the first, second, third day. By the number of the day since year 1, which no new year restarts."""
ROWS = (*ALWAYS, *(row for rows in ROTATION for row in rows))
TARGETS = {"lint": "lint", "docs": "docs-site"}
"""What make calls a row, where that is not `test-<row>`."""
SHARED = {"lint": ("core",), "browser": ("core",), "verl-nodes": ("verl",), "vllm-http": ("llamaindex", "vllm")}
"""Rows that run in the environments of others."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=["today"], metavar="ROW", help=f"today, all, {', '.join(ROWS)}")
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(timezone.utc).date(), metavar="DAY")
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and end")
    given = parser.parse_args(arguments)
    if unknown := sorted({*given.rows} - {"today", "all", *ROWS}):
        parser.error(f"unknown row {', '.join(unknown)}; known: today, all, {', '.join(ROWS)}")
    rows = chosen(given.rows, given.date)
    print(plan(rows, given.date), flush=True)
    if given.dry_run:
        return 0
    ended = {row: run(row) for row in rows}
    print(f"\n{outcome(ended)}\n{plan(rows, given.date)}", flush=True)
    return 0 if all(passed for passed, _ in ended.values()) else 1


def chosen(names: Sequence[str], day: date) -> list[str]:
    """The rows that the names stand for, each once, in the order of ROWS."""
    wanted = {*names, *(ROWS if "all" in names else ()), *(rows_of(day) if "today" in names else ())}
    return [row for row in ROWS if row in wanted]


def rows_of(day: date) -> tuple[str, ...]:
    return (*ALWAYS, *ROTATION[day.toordinal() % len(ROTATION)])


def next_day(row: str, after: date) -> date:
    """The first day after this one on which the row runs by itself."""
    days = (after + timedelta(days=number) for number in range(1, len(ROTATION) + 1))
    return next(day for day in days if row in rows_of(day))


def plan(rows: Sequence[str], day: date) -> str:
    left = [f"{row} (next on {next_day(row, day)})" for row in ROWS if row not in rows]
    return f"rows of {day}: {', '.join(rows)}\nleft out: {', '.join(left) or 'none'}"


def target(row: str) -> str:
    return TARGETS.get(row, f"test-{row}")


def requirement_sets(row: str) -> list[Path]:
    """What its environments are made from: verl-oldest is .ci/verl.oldest.txt, verl is .ci/verl.latest.txt."""
    names = (name if "-" in name else f"{name}-latest" for name in SHARED.get(row, (row,)))
    return [ROOT / f".ci/{name.replace('-', '.')}.txt" for name in names]


def run(row: str) -> tuple[bool, float]:
    """Whether the row passed, and the minutes it took, its environment included."""
    print(f"\n== make {target(row)}", flush=True)
    start = time.monotonic()
    status = subprocess.run(["make", "--no-print-directory", target(row)], cwd=ROOT).returncode
    return status == 0, (time.monotonic() - start) / 60


def outcome(ended: Mapping[str, tuple[bool, float]]) -> str:
    lines = [
        f"{'passed' if passed else 'FAILED'} {minutes:6.1f} min  make {target(row)}"
        for row, (passed, minutes) in ended.items()
    ]
    return "\n".join([*lines, f"in all {sum(minutes for _, minutes in ended.values()):6.1f} min"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
