"""Answers that mean the same form a class. The judge is asked no more than the result needs."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import Literal

from gainful.infogain.types import AnswerSample, Asking, Missing, Pair, Value, check_choice, distinct

__all__ = ["Linkage", "clusters_of"]

Linkage = Literal["complete", "components"]

Step = Generator[Sequence[Pair], Sequence[Value], bool]


class JudgeGaveNothingError(Exception):
    """Ends a computation whose judge has no value for a pair that it needs; never leaves this package."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.reason)
        self.missing = missing


def known(values: Sequence[Value]) -> list[float]:
    """The values as numbers; `JudgeGaveNothingError` if one is missing."""
    numbers = []
    for value in values:
        if isinstance(value, Missing):
            raise JudgeGaveNothingError(value)
        numbers.append(value)
    return numbers


def passes(values: Sequence[Value], threshold: float) -> list[bool]:
    """Which values are above the threshold; `JudgeGaveNothingError` if one is missing."""
    return [value > threshold for value in known(values)]


def clusters_of(
    samples: Sequence[AnswerSample],
    linkage: Linkage = "complete",
    threshold: float = 0.5,
    answer_weights: Mapping[str, float] | None = None,
) -> Asking[list[int] | Missing]:
    """Class of each sample [R]; classes are numbered from 0 in the order in which they open.

    Two answers are equivalent if each entails the other with more than `threshold`; the second direction is asked only
    if the first passes. Distinct answers come by falling weight, then alphabetically.

    `complete`: an answer joins the first class all of whose members it matches, else it opens one.
    `components`: transitive closure; what is in one class already is not asked again.

    Samples without an answer match nothing and share a class of their own.

    Args:
        samples: The samples of one belief.
        linkage: See above. `components` merges A and C if both match B, even if they contradict each other.
        threshold: In (0, 1).
        answer_weights: Weight of each distinct answer; None for the number of its samples.

    Source: dl-m9/InfoReasoner for `components`; `complete` as the default is ours.
    """
    check_choice("linkage", linkage, Linkage)
    weight = answer_weights or Counter(sample.answer for sample in samples)
    answers = sorted(distinct(samples)[0], key=lambda answer: (-weight[answer], answer))
    group = _complete if linkage == "complete" else _components
    try:
        classes = yield from group([answer for answer in answers if answer], threshold)
    except JudgeGaveNothingError as error:
        return error.missing
    if "" in answers:
        classes[""] = len(set(classes.values()))
    return [classes[sample.answer] for sample in samples]


def _complete(answers: Sequence[str], threshold: float) -> Asking[dict[str, int]]:
    members: list[list[str]] = []
    for answer in answers:
        for cluster in members:
            if (yield from _fits(cluster, answer, threshold)):
                cluster.append(answer)
                break
        else:
            members.append([answer])
    return {answer: number for number, cluster in enumerate(members) for answer in cluster}


def _fits(cluster: Sequence[str], answer: str, threshold: float) -> Step:
    for member in cluster:
        if not (yield from _equivalent(member, answer, threshold)):
            return False
    return True


def _components(answers: Sequence[str], threshold: float) -> Asking[dict[str, int]]:
    parent = list(range(len(answers)))
    for new in range(len(answers)):
        for earlier in range(new):
            a, b = _root(parent, earlier), _root(parent, new)
            if a != b and (yield from _equivalent(answers[earlier], answers[new], threshold)):
                parent[max(a, b)] = min(a, b)
    numbers: dict[int, int] = {}
    return {answer: numbers.setdefault(_root(parent, i), len(numbers)) for i, answer in enumerate(answers)}


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _equivalent(earlier: str, new: str, threshold: float) -> Step:
    for pair in ((earlier, new), (new, earlier)):
        if not passes((yield [pair]), threshold)[0]:
            return False
    return True
