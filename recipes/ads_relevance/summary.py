"""From the scores of all models and seeds to one record of figures, as `summary.json` holds it."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import annotate
import numpy as np
import pandas as pd
from data import PARTS, Parts
from metrics import FIGURES, Bootstrap, OperatingPoint, Scored, figures, interval, mean_curve, operating_point
from pipeline import CURVE, RATED, STUDENTS, TEACHERS, SeedRun
from plan import Plan
from stages import with_prefix
from train import METHODS

MODELS = (*TEACHERS, *STUDENTS)
COMPARISONS = (
    ("agpo", "grpo"),
    ("grpo", "base"),
    ("agpo", "base"),
    ("agpo student", "grpo student"),
    ("grpo student", "base student"),
    ("agpo student", "base student"),
    ("grpo student", "grpo"),
    ("agpo student", "agpo"),
    ("agpo student", "annotation student"),
    ("agpo student", "label student"),
)
RECALLS = np.linspace(0.02, 1.0, 50)
PACKAGES = ("gainful", "torch", "numpy", "pandas", "pyarrow")


def summarise(plan: Plan, parts: Parts, runs: Sequence[SeedRun]) -> dict[str, Any]:
    """Everything that is reported, as plain JSON; only `cost` differs between two runs of the same settings.

    A precision is None where no test pair reaches the threshold.
    """
    relevant = {part: is_relevant(getattr(parts, part), plan) for part in ("validation", "test")}
    shares = [run.grade_shares() for run in runs]
    points = {name: _points(name, shares, relevant["validation"], plan) for name in MODELS}
    tested = {name: _scored(name, "test", shares, points[name], plan) for name in MODELS}
    bootstrap = Bootstrap(parts.test["query"].to_numpy(), len(runs), plan.measure.resamples)
    draws = {name: bootstrap.draws(relevant["test"], model) for name, model in tested.items()}
    means = {name: figures(relevant["test"], model) for name, model in tested.items()}
    record = {
        "settings": plan.model_dump(),
        "seeds": [run.seed for run in runs],
        "data": describe(parts, plan),
        "models": {
            name: {
                **_with_intervals(means[name], draws[name]),
                "by_seed": _by_seed(relevant["test"], tested[name], points[name]),
            }
            for name in MODELS
        },
        "differences": [_difference(pair, means, draws) for pair in COMPARISONS],
        "curves": {name: mean_curve(relevant["test"], model, RECALLS).tolist() for name, model in tested.items()},
        "teachers": {name: _teacher_record([run.votes(name) for run in runs], parts) for name in TEACHERS},
        "training": {name: _training(name, runs) for name in METHODS},
        "cost": _cost(runs, sum(len(getattr(parts, part)) for part in RATED)),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    return json.loads(json.dumps(record), parse_constant=lambda _: None)


def is_relevant(pairs: pd.DataFrame, plan: Plan) -> np.ndarray:
    """[N] bool."""
    return (pairs["label"] >= plan.data.positive_from).to_numpy()


def describe(parts: Parts, plan: Plan) -> dict[str, Any]:
    """Sizes and classes of the parts, and how often annotation and label agree."""
    record: dict[str, Any] = {
        name: {
            "pairs": len(pairs),
            "queries": pairs["query"].nunique(),
            "relevant": int(is_relevant(pairs, plan).sum()),
            "of_each_grade": np.bincount(pairs["label"], minlength=plan.data.max_grade + 1).tolist(),
        }
        for name, pairs in ((name, getattr(parts, name)) for name in PARTS)
    }
    record["unlabelled"] = {"pairs": len(parts.unlabelled), "queries": parts.unlabelled["query"].nunique()}
    agree = parts.supervised["annotation"] == parts.supervised["label"]
    return record | {"num_dropped": parts.num_dropped, "annotation_is_label": float(agree.mean())}


def _points(name: str, shares: Sequence[Mapping], relevant: np.ndarray, plan: Plan) -> list[OperatingPoint]:
    """A model's operating point by seed."""
    scores = (annotate.score(of_seed[name]["validation"], plan.data.positive_from) for of_seed in shares)
    return [operating_point(relevant, of_seed, plan.measure) for of_seed in scores]


def _scored(name: str, part: str, shares: Sequence[Mapping], points: Sequence[OperatingPoint], plan: Plan) -> Scored:
    scores = [annotate.score(of_seed[name][part], plan.data.positive_from) for of_seed in shares]
    return Scored(np.stack(scores), np.array([point.threshold for point in points]))


def _with_intervals(means: Mapping[str, float], draws: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: {"mean": means[name], "interval": interval(draws[name])} for name in FIGURES}


def _by_seed(relevant: np.ndarray, model: Scored, points: Sequence[OperatingPoint]) -> list[dict[str, Any]]:
    records = []
    for scores, point in zip(model.scores, points, strict=True):
        alone = Scored(scores[None], np.array([point.threshold]))
        records.append({**figures(relevant, alone), "threshold": point.threshold, "target_reached": point.reached})
    return records


def _difference(pair: tuple[str, str], means: Mapping, draws: Mapping) -> dict[str, Any]:
    """First minus second, on the same resamples."""
    first, second = pair
    gaps = {name: means[first][name] - means[second][name] for name in FIGURES}
    paired = {name: draws[first][name] - draws[second][name] for name in FIGURES}
    return {"first": first, "second": second, **_with_intervals(gaps, paired)}


def _teacher_record(votes: Sequence[Mapping[str, np.ndarray]], parts: Parts) -> dict[str, float]:
    """On the test part: how often an answer has the exact grade, how often none is readable, how often votes agree."""
    counts = np.stack([of_seed["test"] for of_seed in votes])
    num_votes = counts[0, 0].sum()
    exact = counts[:, np.arange(counts.shape[1]), parts.test["label"]]
    return {
        "exact_share": float((exact / num_votes).mean()),
        "unreadable_share": float((counts[:, :, -1] / num_votes).mean()),
        "unanimous_share": float((counts.max(axis=2) == num_votes).mean()),
    }


def _training(method: str, runs: Sequence[SeedRun]) -> dict[str, list[float]]:
    """The curves of RL by step, mean over seeds."""
    curves = [with_prefix(run.reinforced(method), CURVE) for run in runs]
    return {name: np.mean([of_seed[name] for of_seed in curves], axis=0).tolist() for name in curves[0]}


def _cost(runs: Sequence[SeedRun], num_rated: int) -> dict[str, Any]:
    """Sizes, and measured times: of annotating or rating a pair, and of each stage, means over seeds."""
    parameters = runs[0].num_parameters()
    annotating = [run.votes(name)["seconds"] for run in runs for name in TEACHERS]
    rating = [run.student(name)["rating_seconds"] for run in runs for name in STUDENTS]
    return {
        "teacher": {"parameters": parameters["teacher"], "ms_per_pair": float(np.mean(annotating)) / num_rated * 1e3},
        "student": {"parameters": parameters["student"], "ms_per_pair": float(np.mean(rating)) / num_rated * 1e3},
        "seconds": {
            "base": float(np.mean([run.base()["seconds"] for run in runs])),
            **{name: float(np.mean([run.reinforced(name)["seconds"] for run in runs])) for name in METHODS},
        },
    }
