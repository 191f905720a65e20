"""The task: write three digits that add up to a target, without using one forbidden digit.

A problem is written `14 no 8`, and `9+4+1` is one of its answers. Most problems have many, so a policy can be right
in many ways or always in the same one. This file is also verl's reward function.
"""

import random
import re
from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import NamedTuple

DATA_SOURCE = "target_without_digit"
DIGITS = "123456789"
MIN_SOLUTIONS = 2
_ANSWER = re.compile(r"([1-9])\+([1-9])\+([1-9])")
_PROBLEM = re.compile(r"([1-9][0-9]?) no ([1-9])")


class Problem(NamedTuple):
    """One target and the digit that an answer must not use."""

    target: int
    forbidden_digit: str

    @property
    def text(self) -> str:
        return f"{self.target} no {self.forbidden_digit}"


def parse_problem(text: str) -> Problem:
    """Read back `Problem.text`.

    Raises:
        ValueError: `text` has another form.
    """
    match = _PROBLEM.fullmatch(text)
    if match is None:
        raise ValueError(f"task: problem must look like '14 no 8', got {text!r}; rebuild the data")
    return Problem(int(match[1]), match[2])


def value_of(answer: str) -> int | None:
    """Value of an answer such as `9+4+1`; None for anything of another form, spaces included."""
    match = _ANSWER.fullmatch(answer)
    return sum(map(int, match.groups())) if match else None


def is_correct(problem: Problem, answer: str) -> bool:
    """Whether `answer` is well formed, has the right value and leaves the forbidden digit out."""
    return value_of(answer) == problem.target and problem.forbidden_digit not in answer


@cache
def expressions() -> dict[int, tuple[str, ...]]:
    """Every expression of the grammar, by its value."""
    by_value: dict[int, list[str]] = {}
    for digits in product(DIGITS, repeat=3):
        text = "+".join(digits)
        by_value.setdefault(value_of(text), []).append(text)
    return {value: tuple(texts) for value, texts in by_value.items()}


@cache
def solutions(problem: Problem) -> tuple[str, ...]:
    """All answers to `problem`, in a fixed order."""
    return tuple(text for text in expressions().get(problem.target, ()) if is_correct(problem, text))


def all_problems() -> list[Problem]:
    """Every target with every forbidden digit that leaves at least `MIN_SOLUTIONS` answers."""
    pairs = (Problem(target, digit) for target in sorted(expressions()) for digit in DIGITS)
    return [pair for pair in pairs if len(solutions(pair)) >= MIN_SOLUTIONS]


def split(*, held_out_share: float, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Shuffle all problems and hold a share of them out: (training, held out)."""
    problems = all_problems()
    random.Random(seed).shuffle(problems)  # noqa: S311  (not a secret)
    num_held_out = round(held_out_share * len(problems))
    return problems[num_held_out:], problems[:num_held_out]


def num_distinct_correct(problem: Problem, answers: Iterable[str]) -> int:
    """How many different right answers are among `answers`."""
    return len({answer for answer in answers if is_correct(problem, answer)})


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **unused) -> dict[str, float]:
    """Score one response; verl's reward worker calls it once per response.

    Args:
        data_source: Must be `DATA_SOURCE`.
        solution_str: The decoded response, without special tokens.
        ground_truth: The problem as text; there is no single right answer to compare with.
        extra_info: Not used.
        **unused: Whatever else verl passes.

    Returns:
        `score`, the reward, 0.0 or 1.0, and the same as `acc`, the name that verl's validation looks for.
    """
    if data_source != DATA_SOURCE:
        raise ValueError(f"task: data_source must be {DATA_SOURCE!r}, got {data_source!r}; check data.train_files")
    correct = float(is_correct(parse_problem(ground_truth), solution_str))
    return {"score": correct, "acc": correct}
