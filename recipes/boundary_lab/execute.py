"""Runs what the plan lists: several processes of one thread each, one JSON file per finished run, nothing run twice."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import base
import torch
from evaluate import evaluate
from plan import Base, Run
from policy import Policy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from task import Problem, family
from train import train

_EVALUATION_SEED = 1_000_000
"""Added to the seed of a run, so that evaluation does not repeat the random numbers of training."""


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def held_out(run: Run) -> list[Problem]:
    """The evaluation problems of a run; they depend on family and seed, not on the method."""
    _, problems = family(run.base.family)
    return Random(run.base.seed).sample(problems, run.base.settings.evaluate.num_problems)  # noqa: S311


def prepare(phase: Base, out: Path) -> None:
    """Train and save one base."""
    torch.set_num_threads(1)
    problems, _ = family(phase.family)
    policy = base.new_policy(phase.settings.model, phase.seed).to(device())
    demonstrations = base.Demonstrations(problems, phase.settings.base.operator_weights)
    base.imitate(policy, demonstrations, phase.settings.base, seed=phase.seed)
    base.save(policy, phase.file(out))


def perform(run: Run, out: Path) -> None:
    """Train one method from its base, evaluate, and write the result."""
    torch.set_num_threads(1)
    start = time.monotonic()
    policy = base.new_policy(run.base.settings.model, run.base.seed)
    base.restore(policy, run.base.file(out))
    policy.to(device())
    curves = _train(policy, run) if run.method else {}
    trained = time.monotonic()
    settings = run.base.settings.evaluate
    figures = evaluate(policy, held_out(run), settings, seed=_EVALUATION_SEED + run.base.seed)
    seconds = {"train": round(trained - start, 1), "evaluate": round(time.monotonic() - trained, 1)}
    result = {"name": run.name, "num_samples": settings.num_samples, **figures, "curves": curves, "seconds": seconds}
    _write(run.file(out), result)


def _train(policy: Policy, run: Run) -> dict[str, list[float]]:
    settings = run.base.settings.train
    problems, _ = family(run.base.family)
    chosen = [problem for problem in problems if len(problem.solutions) >= settings.min_solutions]
    return train(
        policy,
        chosen,
        settings,
        method=str(run.method),
        options=run.options,
        learning_rate=run.learning_rate,
        seed=run.base.seed,
    )


def _write(file: Path, result: dict[str, Any]) -> None:
    """A file that exists is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(result))
    unfinished.replace(file)


@cache
def read_result(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())


class Workers:
    """Two processes by default; `complete` returns when all results exist."""

    def __init__(self, out: Path, num_workers: int, console: Console) -> None:
        self.out, self.num_workers, self.console = out, num_workers, console

    def complete(self, title: str, runs: Iterable[Run]) -> None:
        """Run what has no result yet: bases first, then the runs that need them."""
        missing = missing_runs(runs, self.out)
        bases = missing_bases(missing, self.out)
        with ProcessPoolExecutor(self.num_workers, multiprocessing.get_context("spawn")) as pool:
            self._drain(f"{title}: bases", pool, prepare, bases)
            self._drain(f"{title}: runs", pool, perform, missing)

    def _drain(self, title: str, pool: ProcessPoolExecutor, work: Callable, jobs: Sequence[Base | Run]) -> None:
        """Hand out one job per process at a time, so that the bar can say what is running."""
        waiting, running = list(jobs), {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console) as progress:
            bar = progress.add_task(title, total=len(jobs))
            while waiting or running:
                while waiting and len(running) < self.num_workers:
                    job = waiting.pop(0)
                    running[pool.submit(work, job, self.out)] = job.label
                progress.update(bar, description=f"{title} ({', '.join(running.values())})")
                progress.advance(bar, _settle(running))
            progress.update(bar, description=title)


def _settle(running: dict[Future, str]) -> int:
    """Wait for the next to finish, forget it; its error, if any, ends the command."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        del running[future]
        future.result()
    return len(done)


def missing_runs(runs: Iterable[Run], out: Path) -> list[Run]:
    """Without repetitions; two configurations may be the same run."""
    by_name = {run.name: run for run in runs}
    return [run for run in by_name.values() if not run.file(out).exists()]


def missing_bases(runs: Iterable[Run], out: Path) -> list[Base]:
    by_name = {run.base.name: run.base for run in runs}
    return [phase for phase in by_name.values() if not phase.file(out).exists()]
