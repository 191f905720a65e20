"""Tuning on the tuning family: every method gets the same number of trials and the same criterion.

First each learning rate of `LEARNING_RATES` with the method's default options; then one more trial at the best of them:
with the second set of options, or, for a method without options, at one further learning rate.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate import pass_at_k
from plan import Run, method_runs
from settings import Settings

CRITERION = "mean of pass@1 and pass@256 on the held-out problems of the tuning family"
LEARNING_RATES = (3e-5, 6e-5, 1.2e-4)
FURTHER_LEARNING_RATE = {3e-5: 1.5e-5, 6e-5: 9e-5, 1.2e-4: 2.4e-4}
"""For methods without options: one more, beside the best of the three."""
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "psr": ({"denominator": "all"}, {"denominator": "subset"}),
    "nsr": ({"denominator": "all"}, {"denominator": "subset"}),
    "w_reinforce": ({"positive_weight": 0.1}, {"positive_weight": 0.5}),
    "ngrpo": ({"virtual_count": 1}, {"virtual_count": 2}),
    "bnpo": ({"max_weight": 1e6}, {"max_weight": 10.0}),
    "a_grae": ({"alpha": 1.0}, {"alpha": 0.5}),
    "canon_length": ({"inter_weight": 1.0}, {"inter_weight": 0.5}),
    "adora": ({"damp": 0.1}, {"damp": 0.5}),
    "agpo": ({"delta": 1.0, "negative_reward": -1.0}, {"delta": 0.5, "negative_reward": -0.5}),
}
"""The default options, and the second set that is tried."""
NUM_TRIALS = len(LEARNING_RATES) + 1

Trial = tuple[dict[str, Any], float]
"""Options and learning rate."""


def first_trials(method: str) -> list[Trial]:
    """Default options at every learning rate."""
    default = OPTIONS.get(method, ({},))[0]
    return [(default, rate) for rate in LEARNING_RATES]


def last_trial(method: str, best: Trial) -> Trial:
    """What is tried when the best of the first trials is known."""
    _, rate = best
    return (OPTIONS[method][1], rate) if method in OPTIONS else ({}, FURTHER_LEARNING_RATE[rate])


def runs(settings: Settings, method: str, trial: Trial) -> list[Run]:
    """One run per tuning seed."""
    return method_runs(settings, "tuning", settings.tuning_seeds, method, *trial)


def score(results: list[Mapping[str, Any]]) -> float:
    """The criterion, mean over seeds and problems."""
    return fmean(
        fmean(pass_at_k(count, result["num_samples"], k) for count in result["num_correct"])
        for result in results
        for k in (1, 256)
    )


def write(file: Path, settings: Settings, scores: Mapping[str, list[tuple[Trial, float]]]) -> None:
    """Write the best trial of each method, and all trials behind it."""
    methods = {
        method: {
            **_as_json(max(trials, key=lambda pair: pair[1])),
            "trials": [_as_json(pair) for pair in trials],
        }
        for method, trials in scores.items()
    }
    record = {"criterion": CRITERION, "seeds": settings.tuning_seeds, "methods": methods}
    file.write_text(json.dumps(record, indent=1) + "\n")


def _as_json(pair: tuple[Trial, float]) -> dict[str, Any]:
    (options, rate), value = pair
    return {"learning_rate": rate, "options": options, "score": round(value, 4)}


def read(file: Path) -> dict[str, Trial]:
    """The tuned options and learning rate of each method."""
    methods = json.loads(file.read_text())["methods"]
    return {name: (entry["options"], entry["learning_rate"]) for name, entry in methods.items()}
