"""Condenses what verl wrote during a run into one record."""

import re
from collections import defaultdict
from collections.abc import Iterable
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

from task import is_correct, num_distinct_correct, parse_problem, solutions
from verl_on_cpu.records import REWARD_KEY, SECONDS_KEY, read_jsonl

KS = (1, 2, 4, 8, 16)
_UPDATE = re.compile(r"gainful\.verl: (\w+) update (\d+): (.*)")
_DIAGNOSTIC = re.compile(r"(gainful/adv/\w+)=([-+.\deEnaif]+)")


def pass_at(k: int, *, num_samples: int, num_correct: int) -> float:
    """Unbiased estimate of the chance that at least one of k samples is right: 1 - C(n-c, k) / C(n, k).

    Args:
        k: >= 1.
        num_samples: n, >= k.
        num_correct: c, in [0, n].
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass_at: k must be in [1, {num_samples}], got {k}; raise rollout.val_kwargs.n")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def validation_record(step: int, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One validation: reward, pass@k and distinct right answers, averaged over the problems."""
    answers = defaultdict(list)
    for row in rows:
        answers[row["gts"]].append(row["output"])
    problems = {parse_problem(text): given for text, given in answers.items()}
    counts = [(len(given), sum(is_correct(problem, answer) for answer in given)) for problem, given in problems.items()]
    num_samples = min(n for n, _ in counts)
    return {
        "step": step,
        "num_problems": len(problems),
        "num_samples_per_problem": num_samples,
        "success_rate": fmean(c / n for n, c in counts),
        "pass_at": {
            str(k): fmean(pass_at(k, num_samples=n, num_correct=c) for n, c in counts) for k in KS if k <= num_samples
        },
        "distinct_correct_mean": fmean(num_distinct_correct(p, given) for p, given in problems.items()),
        "distinct_possible_mean": fmean(min(len(solutions(p)), len(given)) for p, given in problems.items()),
        "problems": {
            problem.text: {
                "num_correct": num_correct,
                "num_samples": n,
                "num_distinct_correct": num_distinct_correct(problem, problems[problem]),
            }
            for problem, (n, num_correct) in zip(problems, counts, strict=True)
        },
    }


def all_wrong_share(rows: Iterable[dict[str, Any]]) -> float:
    """Share of a training step's groups, the responses to one prompt, without a single right answer."""
    scores = defaultdict(list)
    for row in rows:
        scores[row["uid"].split("_")[0]].append(row["score"])
    return fmean(not any(group) for group in scores.values())


def training_curve(metrics: Iterable[dict[str, Any]], rollouts: dict[int, Path]) -> list[dict[str, float]]:
    """Per training step: mean reward, share of all-wrong groups, seconds."""
    return [
        {
            "step": record["step"],
            "reward_mean": record["data"][REWARD_KEY],
            "all_wrong_share": all_wrong_share(read_jsonl(rollouts[record["step"]])),
            "seconds": record["data"][SECONDS_KEY],
        }
        for record in metrics
        if REWARD_KEY in record["data"]
    ]


def diagnostics(log: str, first_step: int) -> list[dict[str, float]]:
    """gainful's own statistics of every update, from its log lines; empty for estimators of verl."""
    return [
        {"step": first_step + int(update) - 1, **{name: float(value) for name, value in _DIAGNOSTIC.findall(line)}}
        for _, update, line in _UPDATE.findall(log)
    ]
