"""The demo: `python recipes/demo` trains a tiny model twice with real verl and writes one HTML page about it."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import training
from report.page import write_page
from rich.console import Console
from training import Arm

SECTIONS = (training.section,)
"""What the page shows, in order. A section is a function from the demo's arms to a `page.Section`."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of data order and sampling (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where everything is written")
    parser.add_argument(
        "--quick", action="store_true", help="four steps a run: shows that it works, not that it learns"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and written, and end")
    options = parser.parse_args()
    if options.quick:
        options.steps = 4
    return options


def run_all(arms: list[Arm], console: Console) -> int:
    """Train one after the other; returns the first exit status that is not 0."""
    for arm in arms:
        console.rule(arm.title)
        status = subprocess.run(arm.command).returncode
        if status:
            return status
    return 0


def main() -> int:
    options, console = parse(), Console()
    out = options.out.resolve()
    arms = training.arms(out, steps=options.steps, seed=options.seed)
    page = out / "index.html"
    if options.dry_run:
        for arm in arms:
            subprocess.run([*arm.command, "--dry-run"], check=True)
            console.print()
        console.print(f"page         {page}", markup=False, highlight=False, soft_wrap=True)
        return 0
    start = time.monotonic()
    status = run_all(arms, console)
    if status:
        return status
    results = training.load(arms)
    console.print(training.table(results))
    write_page(page, "gainful: demo", [section(results) for section in SECTIONS])
    console.print(f"{time.monotonic() - start:.0f} s in all; open {page}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
