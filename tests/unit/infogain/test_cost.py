"""Directed judge forwards, against all ordered pairs."""

import itertools
import random

import pytest

from gainful.infogain import AnswerSample, read_options
from gainful.infogain.assess import Inquiry, reading_of, run_all
from gainful.infogain.judges import SharedJudge

BEFORE = {"lyon": 4, "paris": 3, "marseille": 2, "lille": 1}
AFTER = {"paris": 7, "paris france": 2, "lyon": 1}
REFERENCE = 2 * 10**2


def forwards(samples, gold, judge, linkage):
    options = read_options({"cluster": {"linkage": linkage}}, where="test")
    inquiry = Inquiry("q", reading_of(samples, gold, options), exact_shortcut=True)
    run_all([inquiry], judge)
    return inquiry.num_forwards


def same_first_word(a, b):
    return a.split()[0] == b.split()[0]


@pytest.mark.parametrize(("linkage", "expected"), [("components", 13), ("complete", 12)])
def test_forwards_on_the_fixture(stub, drawn, linkage, expected):
    judge = SharedJudge(stub(same_first_word))
    asked = sum(forwards(drawn(counts), ["paris"], judge, linkage) for counts in (BEFORE, AFTER))
    assert asked == expected
    assert judge.num_forwards == expected - 1  # lyon => paris was known from before
    assert asked * 10 <= REFERENCE


def partitions(count):
    """Class of each of `count` things, for every way to class them."""
    if count == 0:
        yield []
        return
    for smaller in partitions(count - 1):
        yield from ([*smaller, number] for number in range(max(smaller, default=-1) + 2))


def patterns(num_answers):
    """All equivalence patterns of distinct answers and one alias, which is one of them or another text."""
    answers = [f"answer {number}" for number in range(num_answers)]
    for classes in partitions(num_answers):
        known = dict(zip(answers, classes, strict=True))
        yield from ((answers, answer, known) for answer in answers)
        yield from ((answers, "gold", {**known, "gold": number}) for number in range(max(classes) + 2))


def judge_of(stub, of_class):
    return SharedJudge(stub(lambda a, b: of_class[a] == of_class[b]))


@pytest.mark.parametrize(
    ("num_answers", "linkage", "mean", "worst"),
    [(3, "components", 6.2, 10), (3, "complete", 6.1, 12), (4, "components", 10.2, 14), (4, "complete", 9.7, 20)],
)
def test_forwards_per_set_over_all_equivalence_patterns(stub, num_answers, linkage, mean, worst):
    counts = []
    for answers, gold, of_class in patterns(num_answers):
        samples = [AnswerSample(answer) for answer in answers]
        counts.append(forwards(samples, [gold], judge_of(stub, of_class), linkage))
    assert round(sum(counts) / len(counts), 1) == mean
    assert max(counts) == worst


def test_at_most_three_distinct_answers_cost_a_tenth_of_all_pairs_on_average(stub):
    for linkage in ("components", "complete"):
        counts = [
            forwards(
                [AnswerSample(a) for a in answers], [gold], SharedJudge(stub(lambda a, b, c=k: c[a] == c[b])), linkage
            )
            for size in (1, 2, 3)
            for answers, gold, k in patterns(size)
        ]
        assert 10 * 2 * sum(counts) / len(counts) <= REFERENCE


@pytest.mark.parametrize("linkage", ["components", "complete"])
def test_a_group_of_rollouts_costs_a_tenth_of_all_pairs(stub, linkage):
    rng = random.Random(7)  # noqa: S311
    answers = ["paris", "paris france", "lyon", "marseille", "lille", "nice"]
    judge = SharedJudge(stub(same_first_word))
    beliefs = [[AnswerSample(rng.choice(answers)) for _ in range(10)] for _ in range(1 + 8 * 2)]
    for samples in beliefs:
        forwards(samples, ["paris"], judge, linkage)
    # never more than D (D - 1) + 2 D A for D distinct answers and A aliases, however many beliefs there are
    assert judge.num_forwards <= 6 * 5 + 2 * 6
    assert 10 * judge.num_forwards <= 8 * REFERENCE


def test_equal_answers_and_one_class_cost_nothing_or_little(stub, drawn):
    judge = SharedJudge(stub(lambda a, b: True))
    assert forwards(drawn({"paris": 10}), ["Paris"], judge, "complete") == 0


def test_ten_answers_that_all_differ_cost_about_half_of_the_ordered_pairs(stub):
    samples = [AnswerSample(f"answer {number}") for number in range(10)]
    asked = forwards(samples, ["gold"], SharedJudge(stub(lambda a, b: False)), "complete")
    assert asked == 10 + len(list(itertools.combinations(range(10), 2)))
