"""Fits the constants of the controller and the knobs of the baselines, on the tuning files alone.

1. Tables by hop: how often a free query, and how often a proposal with the search after it, found a new gold passage.
2. Weights of support: logistic regression of "the simulated reader is right now" on the controller's own features.
3. The rest one constant after the other, by the mean score over tuning sets and the paper's budgets.
4. Knobs of the baselines: every combination, by budget; each method has at least as many trials as the controller.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from brain import Brain
from cells import Bench, Cell, run_cell
from data import TUNED_ON, load_set
from finalizing import count
from methods import METHODS, NEVER, VOI, controlled
from noise import Noise, default_noise
from pool import Pool

from gainful.budget import ControllerConfig
from gainful.budget.features import SUPPORT_FEATURES
from gainful.budget.finalizer import CLASSES

BUDGETS = ("1/100", "2/200", "2/300", "3/500")
"""The paper's; the headline is their mean."""
SLACK = ("5/1000", "10/2000")
EXPLORED = "5/1000"
MAX_HOP = 3
SEED = 101
"""Not one of the evaluation's."""

GRID: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("single_factor_below", (0.3, 0.0)),
    ("two_factor_below", (0.7, 1.0)),
    ("covered_from", (0.6, 0.8, 1.0)),
    ("shadow_price", (0.15, 0.02, 0.05, 0.30)),
    ("bridge_bonus", (0.10, 0.30)),
    ("min_utility", (0.02, 0.0)),
    ("repeat_malus", (0.10, 0.03, 0.0)),
)
"""Constants in the order in which they are chosen; the first value is the start. Each further value is a trial."""

AGENT_KNOBS = {"at_least": (0, 1, 3), "first": ("question", "plan"), "repeat_calls": ("allow", "refuse")}
LOOP_KNOBS = {"first": ("question", "plan"), "may_stop": (True, False), "shown": (50, 15, 5)}
KNOBS: dict[str, dict[str, tuple[Any, ...]]] = {
    "fixed-k": {"number": (1, 2, 3, 5, 10), **LOOP_KNOBS},
    "spend-all": LOOP_KNOBS,
    "BAVT-like": LOOP_KNOBS,
    "guarded FunctionAgent": AGENT_KNOBS,
    "guarded ReActAgent": AGENT_KNOBS,
    "BATS-like": AGENT_KNOBS,
}
"""All combinations are tried, at each budget for itself; the controller has one set of constants for all budgets."""
NUM_QUESTIONS, NUM_FOR_AGENTS = 185, 80
"""Per set, from the first: as many as the smaller set has, and fewer where a run takes a real agent."""

PARTS = ("controller", "finalizer", "knobs", "trials")
"""Of `tuned.json`."""

Score = Callable[[ControllerConfig], float]
Log = Callable[[str], None]


def tune_all(data: Path, names: Sequence[str], number: int | None, on_step: Log) -> Iterator[dict[str, Any]]:
    """What was found for each name in turn, in the shape of `tuned.json`."""
    noise = default_noise()
    sets = {name: load_set(data, name, "tune") for name in TUNED_ON}
    pools = {name: Pool(one.passages) for name, one in sets.items()}
    for name in names:
        most = NUM_FOR_AGENTS if KNOBS.get(name) is AGENT_KNOBS else NUM_QUESTIONS
        benches = [Bench.of(of, sets[of].questions[: number or most], pool) for of, pool in pools.items()]
        if name == "finalizer":
            yield {"finalizer": tune_finalizer(benches, noise)}
        elif name == "controller":
            found = tune_controller(benches, noise, on_step)
            yield {"controller": found["controller"], "trials": {name: found["trials"]}}
        else:
            budgets = BUDGETS if KNOBS[name] is AGENT_KNOBS else (*BUDGETS, *SLACK)
            found = tune_baseline(benches, name, noise, budgets, on_step)
            yield {"knobs": {name: found["knobs"]}, "trials": {name: found["trials"]}}


def tune_controller(benches: Sequence[Bench], noise: Noise, on_step: Log) -> dict[str, Any]:
    """The constants of the controller and every trial."""
    on_step("tables by hop")
    fitted: dict[str, Any] = dict(tables(benches, noise))
    on_step("weights of support")
    fitted |= support(benches, noise, fitted)

    def score(config: ControllerConfig) -> float:
        got = mean_score(benches, VOI, noise, config, {budget: {} for budget in BUDGETS})
        on_step(f"{got:.4f}")
        return got

    chosen, trials = constants(score, fitted)
    return {"controller": chosen, "trials": trials}


def tune_finalizer(benches: Sequence[Bench], noise: Noise) -> dict[str, tuple[int, int, int]]:
    """Cases, fixed and broken by class, over answers of plain loops."""
    totals: Counter[tuple[str, int]] = Counter()
    for bench in benches:
        for knobs in ({"first": "question", "may_stop": may_stop, "shown": 50} for may_stop in (True, False)):
            cell = Cell(bench.name, BUDGETS[-1], "spend-all", SEED)
            rows = run_cell(bench, cell, METHODS[cell.method], noise, ControllerConfig(), knobs)
            for name, numbers in count(rows, bench.questions, bench.pool).items():
                totals.update({(name, place): number for place, number in enumerate(numbers)})
    return {name: (totals[name, 0], totals[name, 1], totals[name, 2]) for name in CLASSES}


def tune_baseline(
    benches: Sequence[Bench], name: str, noise: Noise, budgets: Sequence[str], on_step: Log
) -> dict[str, Any]:
    """The best knobs by budget and every trial; of equal ones the first."""
    best, trials = {}, {}
    for budget in budgets:
        calls = int(budget.split("/")[0])
        combinations = [knobs for knobs in knobs_of(name) if knobs.get("number", 1) <= calls]
        got = [mean_score(benches, name, noise, ControllerConfig(), {budget: knobs}) for knobs in combinations]
        best[budget] = combinations[int(np.argmax(got))]
        trials[budget] = [{**knobs, "score": score} for knobs, score in zip(combinations, got, strict=True)]
        on_step(f"{name} {budget}: {max(got):.4f} {best[budget]}")
    return {"knobs": best, "trials": trials}


def mean_score(
    benches: Sequence[Bench], name: str, noise: Noise, config: ControllerConfig, knobs: dict[str, dict[str, Any]]
) -> float:
    """Mean over sets, budgets and questions, one seed."""
    means = []
    for bench in benches:
        for budget, of in knobs.items():
            rows = run_cell(bench, Cell(bench.name, budget, name, SEED), METHODS[name], noise, config, of)
            means.append(np.mean([row["f1"] for row in rows]))
    return round(float(np.mean(means)), 5)


def tables(benches: Sequence[Bench], noise: Noise) -> dict[str, tuple[float, ...]]:
    """Q_next and Q_alt by hop, from runs that never stop."""
    free = {"proposed_by_hop": (0.0,), "free_by_hop": (1.0,)}
    later = {"proposed_by_hop": (1.0,), "free_by_hop": (1.0, 0.01)}
    early = {"proposed_by_hop": (1.0,), "free_by_hop": (0.01,)}
    found = {name: Counter[tuple[int, bool]]() for name in free}
    for changes in (free, later, early):
        for _, run in _explored(benches, noise, changes):
            _count(run, found)
    return {name: _shares(counts) for name, counts in found.items()}


def support(benches: Sequence[Bench], noise: Noise, fitted: dict[str, Any]) -> dict[str, Any]:
    """w0 and w by ridge-penalised logistic regression; sets weigh the same."""
    rows, labels, weights = [], [], []
    for bench, run in _explored(benches, noise, fitted):
        for features, read, _ in run["steps"]:
            brain = run["brain"]
            rows.append([1.0, *(features[name] for name in SUPPORT_FEATURES)])
            labels.append(brain.chance([bench.pool.by_id[name] for name in read]))
            weights.append(1 / len(bench.questions))
    fit = _logistic(np.array(rows), np.array(labels), np.array(weights) / np.sum(weights) * len(rows))
    return {"support_bias": round(float(fit[0]), 2), "support_weights": tuple(round(float(w), 2) for w in fit[1:])}


def constants(score: Score, start: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The fitted constants, and every trial with its score."""
    chosen = {**start, **{name: values[0] for name, values in GRID}}
    best = score(ControllerConfig(**chosen))
    trials = [{"change": "start", "score": best}]
    for name, values in GRID:
        for value in values[1:]:
            got = score(ControllerConfig(**{**chosen, name: value}))
            trials.append({"change": f"{name}={value}", "score": got})
            if got > best:
                best, chosen = got, {**chosen, name: value}
    return chosen, trials


def first_knobs(budgets: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Untuned: the first combination, by method and budget."""
    return {name: {budget: next(iter(knobs_of(name))) for budget in budgets} for name in KNOBS}


def knobs_of(name: str) -> Iterable[dict[str, Any]]:
    """Every combination."""
    names = list(KNOBS[name])
    return (dict(zip(names, values, strict=True)) for values in itertools.product(*KNOBS[name].values()))


def _explored(
    benches: Sequence[Bench], noise: Noise, changes: dict[str, Any]
) -> Iterable[tuple[Bench, dict[str, Any]]]:
    """Runs of the controller that search on as long as they can, with all proposals allowed."""
    forever = {"single_factor_below": 0.0, "covered_from": 1.0, "weak_support": 1.0, "min_utility": NEVER, **changes}
    forever["shadow_price"] = forever["shadow_price_max"] = 0.0
    for bench in benches:
        states: dict[str, list[Any]] = {}
        method = controlled(on_trace=_keeper(states))
        cell = Cell(bench.name, EXPLORED, "explore", SEED)
        run_cell(bench, cell, method, noise, ControllerConfig(**forever), {})
        for question in bench.questions:
            yield bench, {"brain": Brain(question, noise, SEED, ()), "steps": states[question.text]}


def _keeper(states: dict[str, list[Any]]) -> Callable[[str, list[dict[str, Any]]], None]:
    return lambda question, trace: states.update({question: _states(trace)})


def _states(trace: list[dict[str, Any]]) -> list[tuple[dict[str, float], tuple[str, ...], dict[str, Any]]]:
    """Per step: features before it, evidence before it, and the step."""
    read: tuple[str, ...] = ()
    states = []
    for record in trace:
        if record.get("record") == "step":
            states.append((record["features"], read, record))
            read += tuple(record["new_evidence"])
    return states


def _count(run: dict[str, Any], counts: dict[str, Counter[tuple[int, bool]]]) -> None:
    """Add what each search of a run found, by hop, as long as a gold passage is missing.

    A search after a proposal counts for the proposal, whatever it asks: where a proposal brings nothing to search, the
    best free query is still there. A proposal without a search after it found nothing.
    """
    gold, hop, asked = set(run["brain"].question.gold_ids), 0, False
    for _, read, record in run["steps"]:
        missing, place = gold - set(read), min(hop, MAX_HOP - 1)
        asked = asked or record["action"] == "DECOMPOSE"
        if record["action"] in ("SEARCH", "ANSWER"):
            is_free = record["action"] == "SEARCH" and not asked
            if missing and (is_free or asked):
                name = "free_by_hop" if is_free else "proposed_by_hop"
                counts[name][place, bool(missing & set(record["new_evidence"]))] += 1
            asked, hop = False, hop + bool(record["new_evidence"])


def _shares(counts: Counter[Any]) -> tuple[float, ...]:
    """With one success and one failure added, so that few cases do not say 0 or 1."""
    return tuple(
        round((counts[hop, True] + 1) / (counts[hop, True] + counts[hop, False] + 2), 2) for hop in range(MAX_HOP)
    )


def _logistic(x: np.ndarray, y: np.ndarray, weight: np.ndarray, ridge: float = 1.0, steps: int = 50) -> np.ndarray:
    """Newton's method; `y` may be any share, the bias is not penalised."""
    fit = np.zeros(x.shape[1])
    penalty = np.diag([0.0, *[ridge] * (x.shape[1] - 1)])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ fit))
        slope = x.T @ (weight * (y - p)) - penalty @ fit
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + penalty
        fit = fit + np.linalg.solve(curve, slope)
    return fit
