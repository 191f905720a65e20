"""The boundary laboratory: `python recipes/boundary_lab` compares advantage estimators by pass@k for k up to 256.

A tiny transformer learns by imitation to solve number puzzles in several ways, most of them rarely. From that base it
is trained by reinforcement learning with each method, on the same prompts and with equally many samples.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import outputs
import tuning
from execute import Workers, missing_bases, missing_runs
from plan import Comparison, Run, comparisons
from rich.console import Console
from settings import FULL, QUICK, TUNED, Settings, load

WIDTH = 120
SECONDS_PER_STEP = {"base": 0.05, "train": 0.08, "evaluate": 8e-5}
"""One thread of the machine on which the recipe was written: per step, per step, per sampled answer."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few short runs: shows that it works, not who wins")
    parser.add_argument("--settings", type=Path, help=f"another file like {FULL.name}")
    parser.add_argument("--tuned", type=Path, default=TUNED, help="the learning rate of each method")
    parser.add_argument(
        "--stage",
        choices=("compare", "tune", "all"),
        default="compare",
        help="compare as tuned (the default), tune into OUT/tuned.json, or tune and compare with what was found",
    )
    parser.add_argument("--out", type=Path, default=Path("out/boundary_lab"), help="where everything is written")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: 2)")
    parser.add_argument("--publish", action="store_true", help="also renew the results that stand beside this recipe")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and end")
    options = parser.parse_args()
    options.settings = options.settings or (QUICK if options.quick else FULL)
    if options.publish and options.settings != FULL:
        parser.error(f"--publish takes results of {FULL.name} only, got {options.settings.name}")
    return options


def planned(settings: Settings, options: argparse.Namespace) -> list[Run]:
    """The runs of the stages; a comparison whose learning rates are yet to be tuned is planned with those at hand."""
    runs = [] if options.stage == "compare" else tuning.all_runs(settings)
    return runs if options.stage == "tune" else runs + all_runs(comparisons(settings, tuning.read(options.tuned)))


def all_runs(compared: list[Comparison]) -> list[Run]:
    return [run for comparison in compared for run in comparison.runs]


def describe(console: Console, runs: list[Run], settings: Settings, options: argparse.Namespace) -> None:
    """For --dry-run."""
    todo = missing_runs(runs, options.out)
    bases = missing_bases(todo, options.out)
    answers = settings.evaluate.num_problems * settings.evaluate.num_samples
    seconds = (
        sum(phase.num_steps for phase in bases) * SECONDS_PER_STEP["base"]
        + sum(run.num_steps for run in todo) * SECONDS_PER_STEP["train"]
        + len(todo) * answers * SECONDS_PER_STEP["evaluate"]
    )
    for run in todo:
        console.print(f"{run.name}  {dict(run.options)}  learning rate {run.learning_rate:g}", soft_wrap=True)
    done = len({run.name for run in runs}) - len(todo)
    console.print(
        f"{len(bases)} bases and {len(todo)} runs to do, {done} runs done, about {seconds / options.workers / 60:.0f} "
        f"minutes with {options.workers} workers; results under {options.out}",
        highlight=False,
        soft_wrap=True,
    )


def main() -> int:
    options, console, start = parse(), Console(width=WIDTH), time.monotonic()
    settings = load(options.settings)
    if options.dry_run:
        describe(console, planned(settings, options), settings, options)
        return 0
    workers = Workers(options.out, options.workers, console)
    if options.stage != "compare":
        options.tuned = options.out / TUNED.name
        tuning.tune(settings, workers, options.tuned)
    if options.stage != "tune":
        compared = comparisons(settings, tuning.read(options.tuned))
        workers.complete(f"{settings.family} family", all_runs(compared))
        outputs.write(compared, settings, options, console)
        console.print(f"open {options.out / 'index.html'}", soft_wrap=True)
    console.print(f"{time.monotonic() - start:.0f} s in all", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
