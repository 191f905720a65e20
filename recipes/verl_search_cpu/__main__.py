"""Information gain in real verl, on a CPU: `python recipes/verl_search_cpu` trains every arm with every seed.

A finished run is kept and not run again; a run that failed or was stopped starts anew.
"""

import argparse
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import base_model
import outputs
from plan import ARMS, COMPARED, Run
from results import arm_record, summarise
from rich.console import Console
from verl_on_cpu import progress, watched_run
from verl_on_cpu.command_line import parse_with_overrides


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is not ours goes to verl as hydra overrides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[*COMPARED], help="the first is the reference")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=30, help="training steps of each run (default: 30)")
    parser.add_argument("--validate-every", type=int, default=10)
    parser.add_argument("--held-out", type=int, default=32, help="held-out questions of each world (default: 32)")
    parser.add_argument("--out", type=Path, default=Path("out/verl_search_cpu"), help="where everything is written")
    parser.add_argument("--bases", type=Path, default=Path("out/bases"), help="where base models are kept")
    parser.add_argument("--max-seconds", type=float, default=900.0, help="limit of each run (default: 900)")
    parser.add_argument("--quick", action="store_true", help="one seed, two steps, a poor base: shows that it works")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and written, and end")
    options = parse_with_overrides(parser, arguments)
    if options.quick:
        options.seeds, options.steps, options.validate_every, options.held_out = options.seeds[:1], 2, 2, 8
    return options


def settings_for(options: argparse.Namespace) -> base_model.BaseSettings:
    """A quick base has the form of an answer, and no more."""
    full = base_model.BaseSettings()
    return replace(full, num_copy_steps=20, num_steps=60) if options.quick else full


def runs_for(options: argparse.Namespace) -> dict[str, list[Run]]:
    """Arm -> one run a seed."""
    base = base_model.model_folder(options.bases.resolve(), settings_for(options))
    shared = (options.steps, options.validate_every, options.out.resolve(), base, options.overrides)
    return {name: [Run(ARMS[name], seed, *shared) for seed in options.seeds] for name in options.arms}


def finished(run: Run) -> dict[str, Any] | None:
    """The summary of a run that was made by the same settings."""
    if not run.summary_file.exists():
        return None
    summary = json.loads(run.summary_file.read_text())
    return summary if summary["digest"] == run.digest else None


def make_base(display: progress.Display, folder: Path, settings: base_model.BaseSettings) -> None:
    """Build the base model unless it is there."""
    if not settings.are_those_of(folder):
        base_model.build(settings, folder, watched_run.base_progress(display))


def execute(run: Run, options: argparse.Namespace, console: Console) -> dict[str, Any] | None:
    """Run verl; the summary, or None if it failed, which is then shown."""
    shutil.rmtree(run.folder, ignore_errors=True)
    base_model.write_data(run.data, seed=run.seed, num_held_out=options.held_out)
    start = time.monotonic()
    with progress.open_display(console, run.name) as display:
        make_base(display, run.base, settings_for(options))
        reason = watched_run.run_and_show(
            run, display, command=run.command(), environment=run.environment(), max_seconds=options.max_seconds
        )
    if reason is not None:
        watched_run.print_failure(console, run.log_file, reason)
        return None
    summary = summarise(run, time.monotonic() - start)
    run.summary_file.write_text(json.dumps(summary, indent=2))
    return summary


def describe(runs: Sequence[Run]) -> str:
    """What a dry run prints."""
    lines = []
    for run in runs:
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in run.environment().items())
        lines += [f"{run.name}: {'finished' if finished(run) else 'to run'}, {run.summary_file}"]
        lines += [f"  {environment} {shlex.join(run.command())}"]
    return "\n".join(lines)


def main() -> int:
    options, console = parse(), Console()
    runs = runs_for(options)
    if options.dry_run:
        console.print(describe([run for arm in runs.values() for run in arm]), markup=False, soft_wrap=True)
        return 0
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for place in range(len(options.seeds)):  # all arms of a seed after each other, so that a stop leaves whole seeds
        for name, arm in runs.items():
            summary = finished(arm[place]) or execute(arm[place], options, console)
            if summary is None:
                return 1
            found[name].append(summary)
    arms = {name: arm_record(summaries, found[options.arms[0]]) for name, summaries in found.items()}
    (options.out / "summary.json").write_text(json.dumps(arms, indent=2, ensure_ascii=False))
    outputs.write(options.out / "index.html", arms, found)
    console.print(outputs.terminal_table(arms))
    console.print(f"{options.out / 'summary.json'}\n{options.out / 'index.html'}", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
