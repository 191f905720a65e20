"""Trains the tiny base model with stock verl on a CPU: `python recipes/verl_agpo_cpu/train.py --help`."""

import argparse
import json
import platform
import shlex
import shutil
import sys
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import run_summary
from base_model import BaseSettings, build, paths_for
from expected_range import misses
from rich.console import Console
from training_command import RunPlan
from verl_on_cpu import progress, records, watched_run
from verl_on_cpu.command_line import parse_with_overrides

DEFAULT_BASES = Path("out/bases")
PACKAGES = ("gainful", "verl", "torch", "transformers", "ray", "tensordict", "TransferQueue")


class UsageError(ValueError):
    """The options contradict each other or what is on disk."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is not ours goes to verl as hydra overrides."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Further arguments are hydra overrides for verl.")
    parser.add_argument("--estimator", default="agpo", help="advantage estimator, as verl knows it (default: agpo)")
    parser.add_argument("--steps", type=int, default=80, help="training steps in all (default: 80)")
    parser.add_argument("--seed", type=int, default=1, help="seed of data order and sampling (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("out/verl_agpo_cpu"), help="where everything is written")
    parser.add_argument("--bases", type=Path, default=DEFAULT_BASES, help="where base models are kept and looked for")
    parser.add_argument("--validate-every", type=int, default=20, help="steps between validations (default: 20)")
    parser.add_argument("--save-every", type=int, default=20, help="steps between checkpoints (default: 20)")
    parser.add_argument("--max-seconds", type=float, default=900.0, help="wall-clock limit (default: 900)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    start.add_argument("--overwrite", action="store_true", help="delete the run that is in --out")
    parser.add_argument("--check", type=Path, help="a JSON file of ranges that the summary must fall into")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and written, and end")
    return parse_with_overrides(parser, arguments)


def plan_for(options: argparse.Namespace) -> RunPlan:
    """The run that the options ask for."""
    out = options.out.resolve()
    return RunPlan(
        out=out,
        estimator=options.estimator,
        num_steps=options.steps,
        seed=options.seed,
        base=paths_for(options.bases.resolve(), BaseSettings()),
        validate_every=options.validate_every,
        save_every=options.save_every,
        attempt=_num_attempts(out) + 1 if options.resume else 1,
        overrides=options.overrides,
    )


def _num_attempts(out: Path) -> int:
    return len(list((out / "attempts").glob("[0-9]*")))


def check_usage(options: argparse.Namespace, plan: RunPlan) -> None:
    """Refuse to resume nothing, and to mix a new run with an old one.

    Raises:
        UsageError: One of the two.
    """
    marker = plan.checkpoints / "latest_checkpointed_iteration.txt"
    if options.resume and not marker.exists():
        raise UsageError(f"train: --resume expects a checkpoint in {plan.checkpoints}, found none; leave it out")
    if _num_attempts(plan.out) and not (options.resume or options.overwrite):
        raise UsageError(f"train: {plan.out} holds a run already; pass --resume, --overwrite or another --out")


def describe(plan: RunPlan) -> str:
    """What a dry run prints: environment, command, files."""
    settings = BaseSettings()
    base = "reused" if plan.base.holds(settings) else f"built first, {settings.num_steps} steps"
    environment = " \\\n  ".join(f"{name}={shlex.quote(value)}" for name, value in plan.added_environment().items())
    command = " \\\n  ".join(map(shlex.quote, plan.command()))
    return (
        f"{environment} \\\n  {command}\n\n"
        f"base model   {plan.base.folder} ({base})\n"
        f"log          {plan.log_file}\n"
        f"metrics      {plan.out / 'metrics.jsonl'}\n"
        f"generations  {plan.validation}, {plan.rollouts}\n"
        f"checkpoints  {plan.checkpoints}\n"
        f"summary      {plan.out / 'summary.json'}"
    )


def make_base(plan: RunPlan, display: progress.Display) -> float:
    """Build the base model unless it is there; returns the seconds spent."""
    settings, start = BaseSettings(), time.monotonic()
    if plan.base.holds(settings):
        return 0.0
    build(settings, plan.base, watched_run.base_progress(display))
    return time.monotonic() - start


def summarise(plan: RunPlan, *, run_seconds: float, base_seconds: float) -> dict[str, Any]:
    """The record of a finished run; also writes the metrics of all attempts into one file."""
    plans = [replace(plan, attempt=number) for number in range(1, plan.attempt + 1)]
    metrics = records.merged_metrics(one.metrics_file for one in plans)
    (plan.out / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in metrics))
    validations = [
        run_summary.validation_record(step, records.read_jsonl(file))
        for step, file in records.by_step(plan.validation).items()
    ]
    curve = run_summary.training_curve(metrics, records.by_step(plan.rollouts))
    return {
        "estimator": plan.estimator,
        "seed": plan.seed,
        "num_steps": plan.num_steps,
        "base": plan.base.folder.name,
        "before": validations[0],
        "after": validations[-1],
        "validations": validations,
        "training": curve,
        "seconds": {
            "base_model": round(base_seconds, 1),
            "verl_run": round(run_seconds, 1),
            "step_median": _median([point["seconds"] for point in curve]),
        },
        "sampler_actor_gap_max": _largest(metrics, "training/rollout_probs_diff_max"),
        "diagnostics": _diagnostics(plans),
        "versions": {"python": platform.python_version(), **_versions()},
        "command": shlex.join(plan.command()),
        "environment": plan.added_environment(),
    }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _largest(metrics: list[dict[str, Any]], key: str) -> float | None:
    return max((record["data"][key] for record in metrics if key in record["data"]), default=None)


def _diagnostics(plans: list[RunPlan]) -> list[dict[str, float]]:
    """gainful's statistics of every attempt; verl numbers steps through, gainful's updates begin anew."""
    found = []
    for plan in plans:
        steps = [record["step"] for record in records.read_jsonl(plan.metrics_file) if record["step"] > 0]
        if steps:
            found += run_summary.diagnostics(plan.log_file.read_text(errors="replace"), min(steps))
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def print_result(console: Console, summary: dict[str, Any], file: Path) -> None:
    """The figures before and after, in one line each."""
    for name in ("before", "after"):
        record = summary[name]
        passes = "  ".join(f"pass@{k} {value:.3f}" for k, value in record["pass_at"].items())
        distinct = f"distinct right answers {record['distinct_correct_mean']:.2f}"
        console.print(f"{name:<7}{passes}  {distinct}", markup=False, highlight=False)
    console.print(f"{summary['seconds']['verl_run']} s; {file}", markup=False, highlight=False, soft_wrap=True)


def train(options: argparse.Namespace, console: Console) -> int:
    """Do what the options say; returns the exit status."""
    plan = plan_for(options)
    if options.dry_run:
        console.print(describe(plan), markup=False, highlight=False, soft_wrap=True)
        return 0
    check_usage(options, plan)
    if options.overwrite:
        shutil.rmtree(plan.out, ignore_errors=True)
    with progress.open_display(console, f"{plan.estimator} seed {plan.seed}") as display:
        base_seconds = make_base(plan, display)
        start = time.monotonic()
        reason = watched_run.run_and_show(
            plan,
            display,
            command=plan.command(),
            environment=plan.added_environment(),
            max_seconds=options.max_seconds,
        )
    if reason is not None:
        watched_run.print_failure(console, plan.log_file, reason)
        return 1
    summary = summarise(plan, run_seconds=time.monotonic() - start, base_seconds=base_seconds)
    file = plan.out / "summary.json"
    file.write_text(json.dumps(summary, indent=2))
    print_result(console, summary, file)
    return check(console, summary, options.check) if options.check else 0


def check(console: Console, summary: dict[str, Any], ranges: Path) -> int:
    """Compare a summary with the ranges in a file; returns the exit status."""
    missed = misses(summary, json.loads(ranges.read_text())["ranges"])
    for line in missed:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print("outside the expected ranges" if missed else f"inside the ranges of {ranges}", highlight=False)
    return 1 if missed else 0


def main() -> int:
    console = Console()
    try:
        return train(parse(), console)
    except UsageError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; the last checkpoint is kept, --resume goes on from it")
        return 130


if __name__ == "__main__":
    sys.exit(main())
