"""The demo: `python recipes/demo` trains a tiny model twice with real verl, has real LlamaIndex agents search under a
budget, serves a prompt with real vLLM whose KV cache is computed and streamed at once, and writes one HTML page."""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import beliefs
import budget
import environments
import serving
import training
from report.page import write_page
from rich.console import Console
from training import Arm

PAGE = "index.html"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of data order and sampling (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where everything is written")
    parser.add_argument(
        "--quick", action="store_true", help="four steps a run: shows that it works, not that it learns"
    )
    parser.add_argument("--page-only", action="store_true", help="write the page again from what is in --out, and end")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and written, and end")
    options = parser.parse_args()
    if options.quick:
        options.steps = 4
    return options


def run_all(parts: list[tuple[str, tuple[str, ...]]], console: Console) -> int:
    """One after the other, under their titles; returns the first exit status that is not 0."""
    for title, command in parts:
        console.rule(title)
        status = subprocess.run(command).returncode
        if status:
            return status
    return 0


def main() -> int:
    options, console = parse(), Console()
    out = options.out.resolve()
    if options.page_only:
        report(training.arms(out, **training.settings(out)), out, console)
        return 0
    arms = training.arms(out, steps=options.steps, seed=options.seed)
    searching = budget.command(out / "budget")
    served = serving.command(out / "serving", bases=out / "bases", quick=options.quick)
    if options.dry_run:
        describe(arms, {"search": searching, "serve": served}, out, console)
        return 0
    environments.require_all()
    start = time.monotonic()
    trained = [(arm.title, arm.command) for arm in arms]
    status = run_all([*trained, ("Search agents (LlamaIndex)", searching), ("Serving (vLLM)", served)], console)
    if status:
        return status
    report(arms, out, console)
    console.print(f"{time.monotonic() - start:.0f} s in all; open {out / PAGE}", highlight=False, soft_wrap=True)
    return 0


def describe(arms: list[Arm], others: dict[str, tuple[str, ...]], out: Path, console: Console) -> None:
    """What a dry run prints."""
    for arm in arms:
        subprocess.run([*arm.command, "--dry-run"], check=True)
        console.print()
    for name, command in others.items():
        console.print(f"{name:<13}{shlex.join(command)}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{'page':<13}{out / PAGE}", markup=False, highlight=False, soft_wrap=True)


def report(arms: list[Arm], out: Path, console: Console) -> None:
    """Tables on the terminal, and the page, from what the parts wrote."""
    results, served, scored = training.load(arms), serving.load(out / "serving"), beliefs.score()
    beliefs.write(out / "beliefs.json", scored)
    tables = (training.table(results), beliefs.table(scored), budget.table(out / "budget"), serving.table(served))
    for table in tables:
        console.print(table)
    sections = [
        training.section(results),
        beliefs.section(scored),
        budget.section(out / "budget"),
        serving.section(served),
    ]
    write_page(out / PAGE, "gainful: demo", sections)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environments.MissingEnvironmentError as error:
        sys.exit(str(error))
    except FileNotFoundError as error:
        sys.exit(f"demo: expected {error.filename}, found none; a whole run of the demo writes it")
    except KeyboardInterrupt:
        sys.exit(130)
