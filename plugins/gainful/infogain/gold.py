"""How much of a belief says what the gold answer says."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gainful.infogain.cluster import JudgeGaveNothingError, known, passes
from gainful.infogain.types import AnswerSample, Asking, FloatArray, Missing, Pair, check_choice, distinct
from gainful.infogain.weights import weighted_mean

__all__ = ["Aliases", "Direction", "gold_mass_of"]

Direction = Literal["both", "forward", "either"]
Aliases = Literal["any", "max"]


def gold_mass_of(
    samples: Sequence[AnswerSample],
    weights: FloatArray,
    gold: Sequence[str],
    *,
    soft: bool = False,
    direction: Direction = "both",
    aliases: Aliases = "any",
    threshold: float = 0.5,
) -> Asking[float | Missing]:
    """Weight of the samples that match a gold alias, in [0, 1].

    With s(r, a) the match of sample r and alias a, 0 or 1, or with `soft` a probability:

        any   m = sum_r w_r max_a s(r, a)
        max   m = max_a sum_r w_r s(r, a)

    s takes P[y_r => a] for `forward`, the smaller of P[y_r => a] and P[a => y_r] for `both`, the larger for `either`;
    0 or 1 is whether that is above `threshold`. What cannot change the result is not asked. Samples without an answer
    and blank aliases match nothing.

    Returns:
        The mass; `Missing` without an alias, or if the judge has no value for a pair that is needed.

    Source: dl-m9/InfoReasoner's served score is `soft`, `either`, `max`. Differs from it by default: a vague answer
    that follows from the gold answer, and does not imply it, is no match; samples that match different aliases add up.
    """
    check_choice("direction", direction, Direction)
    check_choice("aliases", aliases, Aliases)
    named = [alias.strip() for alias in gold if alias.strip()]
    if not named:
        return Missing("no_gold", "no gold alias that is not blank")
    answers, index = distinct(samples)
    matching = _soft(answers, named, direction) if soft else _hard(answers, named, direction, aliases, threshold)
    try:
        per_answer = yield from matching
    except JudgeGaveNothingError as error:
        return error.missing
    matrix = per_answer[index]  # [R, A]
    if aliases == "any":
        return weighted_mean(matrix.max(axis=1), weights)
    return max(weighted_mean(column, weights) for column in matrix.T)


def _soft(answers: Sequence[str], gold: Sequence[str], direction: Direction) -> Asking[FloatArray]:
    """Match probabilities [D, A]; all directions that the rule needs, in one wave."""
    asked = [(answer, alias) for answer in answers if answer for alias in gold]
    forward = yield from _probabilities(asked)
    if direction != "forward":
        backward = yield from _probabilities([(alias, answer) for answer, alias in asked])
        forward = np.minimum(forward, backward) if direction == "both" else np.maximum(forward, backward)
    matrix = np.zeros((len(answers), len(gold)))
    matrix[[bool(answer) for answer in answers]] = forward.reshape(-1, len(gold))
    return matrix


def _probabilities(pairs: Sequence[Pair]) -> Asking[FloatArray]:
    return np.array(known((yield pairs)), dtype=np.float64)


def _hard(
    answers: Sequence[str], gold: Sequence[str], direction: Direction, aliases: Aliases, threshold: float
) -> Asking[FloatArray]:
    """Matches [D, A] of 0 and 1, alias by alias; with `any`, an answer that has matched is not asked again."""
    matrix = np.zeros((len(answers), len(gold)))
    for column, alias in enumerate(gold):
        waiting = [row for row, answer in enumerate(answers) if answer and not (aliases == "any" and matrix[row].any())]
        matched = yield from _matches([answers[row] for row in waiting], alias, direction, threshold)
        matrix[waiting, column] = matched
    return matrix


def _matches(answers: Sequence[str], alias: str, direction: Direction, threshold: float) -> Asking[list[bool]]:
    """Whether each answer matches one alias; the way back is asked only where it decides."""
    matched = passes((yield [(answer, alias) for answer in answers]), threshold)
    if direction == "forward":
        return matched
    open_at = [i for i, passed in enumerate(matched) if passed == (direction == "both")]
    back = passes((yield [(alias, answers[i]) for i in open_at]), threshold)
    for i, passed in zip(open_at, back, strict=True):
        matched[i] = passed
    return matched
