"""Reads what verl wrote during a run and condenses it into one record."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

from task import is_correct, num_distinct_correct, parse_problem, solutions

KS = (1, 2, 4, 8, 16)
REWARD_KEY = "critic/score/mean"
SECONDS_KEY = "timing_s/step"
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


def read_jsonl(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; a last line that is still being written is left out."""
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def by_step(folder: Path) -> dict[int, Path]:
    """verl's dumps in `folder`, `<step>.jsonl` each, in order of steps."""
    return {int(file.stem): file for file in sorted(folder.glob("*.jsonl"), key=lambda file: int(file.stem))}


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


def merged_metrics(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The records of several attempts in order of steps; where two hold a step, the later attempt wins."""
    records = {record["step"]: record for file in files if file.exists() for record in read_jsonl(file)}
    return [records[step] for step in sorted(records)]


def diagnostics(log: str, first_step: int) -> list[dict[str, float]]:
    """gainful's own statistics of every update, from its log lines; empty for estimators of verl."""
    return [
        {"step": first_step + int(update) - 1, **{name: float(value) for name, value in _DIAGNOSTIC.findall(line)}}
        for _, update, line in _UPDATE.findall(log)
    ]


def last_errors(log: str, num_lines: int = 12) -> list[str]:
    """The lines of a failed run's log that most likely say why: the end of its last traceback."""
    lines = [line for line in log.splitlines() if line.strip()]
    named = re.compile(r"(?:^|\s)[\w.]*(?:Error|Exception)\b[^(]*:|Error executing job")
    hits = [index for index, line in enumerate(lines) if named.search(line)]
    end = hits[-1] + 1 if hits else len(lines)
    return lines[max(0, end - num_lines) : end]
