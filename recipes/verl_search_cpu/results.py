"""Condenses what one run wrote, and compares arms over seeds and questions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from plan import Run
from verl_on_cpu.records import REWARD_KEY, SECONDS_KEY, by_step, read_jsonl

NUM_RESAMPLES = 4000
_SUMMED = ("rows", "searched", "gains", "probe_calls", "probe_tokens", "waited_seconds", "judge_reference")


def summarise(run: Run, seconds: float) -> dict[str, Any]:
    """The record of a finished run."""
    metrics = [record for record in read_jsonl(run.metrics_file) if REWARD_KEY in record["data"]]
    validations = [_validation(step, read_jsonl(file)) for step, file in by_step(run.folder / "validation").items()]
    return {
        **run.as_record(),
        "seconds": round(seconds, 1),
        "validations": validations,
        "rewards": [round(record["data"][REWARD_KEY], 4) for record in metrics],
        "step_seconds": [round(record["data"][SECONDS_KEY], 3) for record in metrics],
        "sampler_actor_gap_max": max(record["data"]["training/rollout_probs_diff_max"] for record in metrics),
        "gains": gains(run.folder / "gains"),
        "command": run.command(),
    }


def _validation(step: int, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Exact match of each held-out question, and how the policy searches."""
    scores, searches = defaultdict(list), []
    for row in rows:
        scores[row["input"]].append(row["score"])
        searches.append(row["output"].count("</tool_call>"))
    questions = {question: fmean(values) for question, values in sorted(scores.items())}
    return {"step": step, "em": fmean(questions.values()), "searches": fmean(searches), "questions": questions}


def gains(folder: Path) -> dict[str, float]:
    """Sums of what the loop counted, and means over updates of what the estimator saw; empty without probes."""
    loop = [line for file in sorted(folder.glob("loop-*.jsonl")) for line in read_jsonl(file)]
    estimator = [line for file in sorted(folder.glob("estimator-*.jsonl")) for line in read_jsonl(file)]
    found = {name: sum(line[f"infogain/{name}"] for line in loop) for name in (*_SUMMED, "judge_forwards")}
    found["missing"] = sum(v for line in loop for k, v in line.items() if k.startswith("infogain/missing_"))
    if not found["rows"]:
        return {}
    for name in ("gain_mean", "gain_turn_1", "gain_turn_2", "gain_turn_3", "missing_rate", "negative_rate"):
        values = [line[f"infogain/{name}"] for line in estimator if line.get(f"infogain/{name}") is not None]
        if values:
            found[name] = fmean(values)
    return found


def mean_em(summary: dict[str, Any]) -> dict[str, float]:
    """Per held-out question: exact match, averaged over the validations after the first, which is the base's."""
    later = [record["questions"] for record in summary["validations"][1:]]
    return {question: fmean(record[question] for record in later) for question in later[0]}


def last_em(summary: dict[str, Any]) -> dict[str, float]:
    return summary["validations"][-1]["questions"]


def paired_interval(
    ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]], *, seed: int = 0
) -> tuple[float, float, float]:
    """Mean difference and its 95 % interval: seeds are drawn anew, and within each its questions.

    Args:
        ours: One mapping per seed, question -> value.
        theirs: The same seeds and questions.
        seed: Of the resampling.
    """
    rows = [np.array([one[q] - other[q] for q in one]) for one, other in zip(ours, theirs, strict=True)]
    dice = np.random.default_rng(seed)
    means = []
    for _ in range(NUM_RESAMPLES):
        drawn = [rows[place] for place in dice.integers(len(rows), size=len(rows))]
        means.append(np.mean([row[dice.integers(len(row), size=len(row))].mean() for row in drawn]))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.mean([row.mean() for row in rows])), float(low), float(high)


def arm_record(summaries: Sequence[dict[str, Any]], reference: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One arm over its seeds, and what it differs by from the reference arm with the same seeds."""
    found = [summary["gains"] for summary in summaries if summary["gains"]]
    total = {name: sum(one[name] for one in found) for name in (*_SUMMED, "judge_forwards", "missing")} if found else {}
    probes = {}
    if total:
        names = [name for name in found[0] if name not in total]
        probes = {name: round(fmean(one[name] for one in found if name in one), 4) for name in names}
        probes |= {
            "judge_forwards": total["judge_forwards"],
            "judge_reference_2R2": total["judge_reference"],
            "judge_saving": round(total["judge_reference"] / max(1, total["judge_forwards"]), 1),
            "probe_calls": total["probe_calls"],
            "probe_tokens": total["probe_tokens"],
            "missing_beliefs": total["missing"],
        }
    pairs = zip(summaries, reference, strict=True)
    extra = [median(one["step_seconds"]) / median(other["step_seconds"]) - 1 for one, other in pairs]
    return {
        "seeds": [summary["seed"] for summary in summaries],
        "em_before": _mean(summaries, 0, "em"),
        "em_after": _mean(summaries, -1, "em"),
        "em_after_by_seed": [round(summary["validations"][-1]["em"], 4) for summary in summaries],
        "searches_before": _mean(summaries, 0, "searches"),
        "searches_after": _mean(summaries, -1, "searches"),
        "em_after_difference": _rounded(paired_interval([*map(last_em, summaries)], [*map(last_em, reference)])),
        "em_mean_difference": _rounded(paired_interval([*map(mean_em, summaries)], [*map(mean_em, reference)])),
        "step_seconds_median": round(median(s for one in summaries for s in one["step_seconds"]), 3),
        "extra_step_time": round(fmean(extra), 4),
        "run_seconds": [summary["seconds"] for summary in summaries],
        "sampler_actor_gap_max": max(summary["sampler_actor_gap_max"] for summary in summaries),
        "probes": probes,
    }


def _mean(summaries: Sequence[dict[str, Any]], place: int, name: str) -> float:
    return round(fmean(summary["validations"][place][name] for summary in summaries), 4)


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]
