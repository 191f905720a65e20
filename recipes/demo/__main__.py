"""The demo: `python recipes/demo` trains a tiny model twice with real verl, has real LlamaIndex agents search under a
budget, and writes one HTML page about both."""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import budget
import training
from report.page import write_page
from rich.console import Console
from training import Arm


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


def run_all(arms: list[Arm], searching: tuple[str, ...], console: Console) -> int:
    """Train one after the other, then let agents search; returns the first exit status that is not 0."""
    for title, command in (*((arm.title, arm.command) for arm in arms), ("Search agents (LlamaIndex)", searching)):
        console.rule(title)
        status = subprocess.run(command).returncode
        if status:
            return status
    return 0


def main() -> int:
    options, console = parse(), Console()
    out = options.out.resolve()
    arms = training.arms(out, steps=options.steps, seed=options.seed)
    page, budgets = out / "index.html", out / "budget"
    searching = budget.command(budgets)
    if options.dry_run:
        for arm in arms:
            subprocess.run([*arm.command, "--dry-run"], check=True)
            console.print()
        console.print(f"search       {shlex.join(searching)}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"page         {page}", markup=False, highlight=False, soft_wrap=True)
        return 0
    budget.require_environment()
    start = time.monotonic()
    status = run_all(arms, searching, console)
    if status:
        return status
    results = training.load(arms)
    console.print(training.table(results))
    console.print(budget.table(budgets))
    write_page(page, "gainful: demo", [training.section(results), budget.section(budgets)])
    console.print(f"{time.monotonic() - start:.0f} s in all; open {page}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except budget.MissingEnvironmentError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
