"""Tuning on the tuning family: every method, with its default options, at the same three learning rates.

The options of the methods are not tuned: three trials are what the time allows for each. AGPO's are shown as a sweep.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate import pass_at_k
from methods import DEFAULTS
from plan import Run, method_runs
from settings import Settings

CRITERION = "mean of pass@1 and pass@256 on the held-out problems of the tuning family"
LEARNING_RATES = (3e-5, 6e-5, 1.2e-4)

Scores = dict[float, float]
"""The criterion by learning rate."""


def trials(settings: Settings, method: str) -> dict[float, list[Run]]:
    """For each learning rate one run per tuning seed."""
    return {
        rate: method_runs(settings, "tuning", settings.tuning_seeds, method, DEFAULTS.get(method, {}), rate)
        for rate in LEARNING_RATES
    }


def score(results: list[Mapping[str, Any]]) -> float:
    """The criterion, mean over seeds and problems."""
    return fmean(
        fmean(pass_at_k(count, result["num_samples"], k) for count in result["num_correct"])
        for result in results
        for k in (1, 256)
    )


def write(file: Path, settings: Settings, scores: Mapping[str, Scores], base: float) -> None:
    """Write the best learning rate of each method, all scores behind it, and the score of the base."""
    methods = {
        method: {
            "learning_rate": max(by_rate, key=by_rate.__getitem__),
            "scores": {f"{rate:g}": round(value, 4) for rate, value in by_rate.items()},
        }
        for method, by_rate in scores.items()
    }
    record = {
        "criterion": CRITERION,
        "seeds": settings.tuning_seeds,
        "base": round(base, 4),
        "methods": methods,
    }
    file.write_text(json.dumps(record, indent=1) + "\n")


def read(file: Path) -> dict[str, float]:
    """The tuned learning rate of each method."""
    return {name: entry["learning_rate"] for name, entry in json.loads(file.read_text())["methods"].items()}
