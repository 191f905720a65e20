"""Tuning on the tuning family: every method, with its default options, at the same three learning rates.

The options of the methods are not tuned: three trials are what the time allows for each. AGPO's are shown as a sweep.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate import pass_at_k
from execute import Workers, read_result
from methods import DEFAULTS
from plan import Run, base_runs, method_runs
from settings import Settings

CRITERION = "mean of pass@1 and pass@256 on the held-out problems of the tuning family"
LEARNING_RATES = (3e-5, 6e-5, 1.2e-4)


def tune(settings: Settings, workers: Workers, file: Path) -> None:
    """Run all trials and write the scores, and the learning rate that is best for each method, to `file`."""
    workers.complete("tuning", all_runs(settings))
    methods = {}
    for method in settings.methods:
        scores = {rate: _score(runs, workers.out) for rate, runs in trials(settings, method).items()}
        shown = {f"{rate:g}": round(value, 4) for rate, value in scores.items()}
        methods[method] = {"learning_rate": max(scores, key=scores.__getitem__), "scores": shown}
    base = round(_score(bases(settings), workers.out), 4)
    record = {"criterion": CRITERION, "seeds": settings.tuning_seeds, "base": base, "methods": methods}
    file.write_text(json.dumps(record, indent=1) + "\n")


def bases(settings: Settings) -> list[Run]:
    """What there is before any training."""
    return base_runs(settings, "tuning", settings.tuning_seeds)


def trials(settings: Settings, method: str) -> dict[float, list[Run]]:
    """For each learning rate one run per tuning seed."""
    return {
        rate: method_runs(settings, "tuning", settings.tuning_seeds, method, DEFAULTS.get(method, {}), rate)
        for rate in LEARNING_RATES
    }


def all_runs(settings: Settings) -> list[Run]:
    some = [run for method in settings.methods for runs in trials(settings, method).values() for run in runs]
    return bases(settings) + some


def _score(runs: Sequence[Run], out: Path) -> float:
    return score([read_result(run.file(out)) for run in runs])


def score(results: list[Mapping[str, Any]]) -> float:
    """The criterion, mean over seeds and problems."""
    return fmean(
        fmean(pass_at_k(count, result["num_samples"], k) for count in result["num_correct"])
        for result in results
        for k in (1, 256)
    )


def read(file: Path) -> dict[str, float]:
    """The tuned learning rate of each method."""
    return {name: entry["learning_rate"] for name, entry in json.loads(file.read_text())["methods"].items()}
