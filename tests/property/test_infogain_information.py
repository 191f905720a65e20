"""What information gain guarantees, over random finite models: classes, a prior, a channel, posteriors by Bayes."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gainful.infogain import Missing, Reading, exact_belief, fixed_baseline_gains, turn_gains, uncertainty

UNKNOWN = Missing("probe_failed")
SEEDS = range(1000)
TOLERANCE = 1e-12


def u(kind, b):
    return uncertainty(kind, Reading(exact_belief(b / b.sum()), UNKNOWN, UNKNOWN))


def distribution(rng, *shape):
    """Rows that sum to one: even or peaked, about one in five entries zero."""
    weights = rng.gamma(rng.choice([0.1, 1.0, 10.0]), size=shape) + 1e-9
    weights[rng.random(shape) < 0.2] = 0.0
    weights[..., 0] += weights.sum(axis=-1) == 0
    return weights / weights.sum(axis=-1, keepdims=True)


def models():
    """For each seed a generator, a prior [C] and a channel [C, O]."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        num_classes, num_outputs = rng.integers(2, 6), rng.integers(1, 6)
        yield rng, distribution(rng, num_classes), distribution(rng, num_classes, num_outputs)


def posteriors(prior, channel):
    """Chance and posterior of each observation that can occur."""
    joint = prior[:, None] * channel
    chance = joint.sum(axis=0)
    return [(chance[o], joint[:, o] / chance[o]) for o in range(len(chance)) if chance[o] > 0]


def gain(kind, prior, channel):
    return u(kind, prior) - sum(p * u(kind, b) for p, b in posteriors(prior, channel))


def test_expected_gain_is_never_negative_and_bounded_by_what_there_is_to_learn():
    for _, prior, channel in models():
        for kind in ("shannon", "gini"):
            assert gain(kind, prior, channel) >= -TOLERANCE
        assert gain("shannon", prior, channel) <= min(u("shannon", prior), math.log(channel.shape[1])) + TOLERANCE


def test_expected_shannon_gain_is_the_mutual_information():
    for _, prior, channel in models():
        joint = prior[:, None] * channel
        product = prior[:, None] * joint.sum(axis=0)
        known = joint > 0
        mutual = (joint[known] * np.log(joint[known] / product[known])).sum()
        assert abs(gain("shannon", prior, channel) - mutual) <= 1e-10


VALUES = st.floats(-10, 10)


@settings(max_examples=1000)
@given(path=st.lists(VALUES, min_size=1, max_size=8))
def test_gains_telescope_on_every_path(path):
    gains = turn_gains(path)
    assert abs(math.fsum(gains.values) - (path[0] - path[-1])) <= TOLERANCE
    assert gains.total == path[0] - path[-1]
    for turn, to_go in enumerate(gains.reward_to_go):
        assert abs(math.fsum(gains.values[turn:]) - to_go) <= TOLERANCE


@given(path=st.lists(VALUES, min_size=1, max_size=6), place=st.integers(0, 5))
def test_a_turn_that_changes_nothing_adds_nothing(path, place):
    place = min(place, len(path) - 1)
    longer = turn_gains([*path[: place + 1], *path[place:]])
    assert longer.values[place] == 0.0
    assert longer.total == turn_gains(path).total


@given(path=st.lists(VALUES, min_size=3, max_size=6))
def test_gains_against_a_fixed_baseline_do_not_telescope(path):
    surplus = math.fsum(path[0] - value for value in path[1:-1])
    total = turn_gains(path).total
    assert abs(math.fsum(fixed_baseline_gains(path)) - total - surplus) <= 1e-10


@given(path=st.lists(st.one_of(VALUES, st.just(UNKNOWN)), min_size=1, max_size=8))
def test_a_gain_is_known_exactly_if_both_of_its_sides_are(path):
    gains = turn_gains(path)
    gap = [isinstance(value, Missing) for value in path]
    assert [isinstance(v, Missing) for v in gains.values] == [a or b for a, b in pairwise(gap)]
    assert [isinstance(v, Missing) for v in gains.reward_to_go] == [known or gap[-1] for known in gap[:-1]]


def test_garbling_what_is_seen_cannot_raise_the_gain():
    for rng, prior, channel in models():
        garbling = distribution(rng, channel.shape[1], rng.integers(1, 6))
        for kind in ("shannon", "gini"):
            assert gain(kind, prior, channel @ garbling) <= gain(kind, prior, channel) + TOLERANCE


def test_renaming_what_is_seen_changes_nothing_and_seeing_nothing_brings_nothing():
    for rng, prior, channel in models():
        order = rng.permutation(channel.shape[1])
        constant = np.repeat(channel[:1], len(prior), axis=0)
        for kind in ("shannon", "gini"):
            assert abs(gain(kind, prior, channel[:, order]) - gain(kind, prior, channel)) <= TOLERANCE
            assert abs(gain(kind, prior, constant)) <= TOLERANCE


def test_dropping_a_document_cannot_raise_the_gain():
    for rng, prior, first in models():
        second = distribution(rng, len(prior), 3)
        both = (first[:, :, None] * second[:, None, :]).reshape(len(prior), -1)  # independent given the class
        for kind in ("shannon", "gini"):
            assert gain(kind, prior, first) <= gain(kind, prior, both) + TOLERANCE


def test_gains_towards_the_truth_equal_undirected_ones_in_expectation():
    for _, prior, channel in models():
        log_gain = mass_gain = 0.0
        for chance, b in posteriors(prior, channel):
            seen = b > 0
            log_gain += chance * (b[seen] * np.log(b[seen] / prior[seen])).sum()
            mass_gain += chance * (b * (b - prior)).sum()
        assert abs(log_gain - gain("shannon", prior, channel)) <= 1e-10
        assert abs(mass_gain - gain("gini", prior, channel)) <= 1e-10


def test_merging_classes_loses_shannon_information_but_can_raise_the_gini_gain():
    num_raised = 0
    for rng, prior, channel in models():
        label = rng.integers(0, 3, size=len(prior))
        merged = np.array([prior[label == k].sum() for k in range(3)])
        within = sum(p * u("shannon", prior[label == k]) for k, p in enumerate(merged) if p > 0)
        assert abs(u("shannon", prior) - u("shannon", merged) - within) <= 1e-10
        flows = np.array([prior[label == k] @ channel[label == k] for k in range(3)])
        uniform = np.full_like(flows, 1 / flows.shape[1])
        coarse = np.divide(flows, merged[:, None], out=uniform, where=merged[:, None] > 0)
        assert gain("shannon", merged, coarse) <= gain("shannon", prior, channel) + 1e-10
        num_raised += gain("gini", merged, coarse) > gain("gini", prior, channel) + 1e-6
    assert num_raised > 0
