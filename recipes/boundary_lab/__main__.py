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
from execute import Workers, missing_bases, missing_runs, read
from plan import Comparison, Run, base_runs, comparisons
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
    parser.add_argument("--retune", action="store_true", help="tune again, into OUT/tuned.json, and use that")
    parser.add_argument("--stage", choices=("all", "tune"), default="all", help="`tune`: end after tuning")
    parser.add_argument("--out", type=Path, default=Path("out/boundary_lab"), help="where everything is written")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each (default: 2)")
    parser.add_argument("--publish", action="store_true", help="also renew the results that stand beside this recipe")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and end")
    options = parser.parse_args()
    options.settings = options.settings or (QUICK if options.quick else FULL)
    return options


def tune(settings: Settings, workers: Workers) -> None:
    """Run all trials and write OUT/tuned.json."""
    trials = {method: tuning.trials(settings, method) for method in settings.methods}
    bases = base_runs(settings, "tuning", settings.tuning_seeds)
    runs = [run for by_rate in trials.values() for some in by_rate.values() for run in some]
    workers.complete("tuning", [*bases, *runs])
    scores = {
        method: {rate: _score(some, workers.out) for rate, some in by_rate.items()}
        for method, by_rate in trials.items()
    }
    tuning.write(workers.out / TUNED.name, settings, scores, _score(bases, workers.out))


def _score(runs: list[Run], out: Path) -> float:
    return tuning.score([read(run.file(out)) for run in runs])


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
    workers = Workers(options.out, options.workers, console)
    if (options.retune or options.stage == "tune") and not options.dry_run:
        tune(settings, workers)
        options.tuned = options.out / TUNED.name
    if options.stage == "tune":
        return 0
    compared: list[Comparison] = comparisons(settings, tuning.read(options.tuned))
    runs = [run for comparison in compared for run in comparison.runs]
    if options.dry_run:
        describe(console, runs, settings, options)
        return 0
    workers.complete(f"{settings.family} family", runs)
    outputs.write(compared, settings, options, console)
    console.print(f"{time.monotonic() - start:.0f} s in all; open {options.out / 'index.html'}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
