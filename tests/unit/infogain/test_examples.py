"""Numbers that were worked out elsewhere, to 1e-9: soft scores, a path of beliefs, a channel, corrections."""

import math

import numpy as np
import pytest

from gainful.infogain import (
    AnswerSample,
    Belief,
    Reading,
    belief,
    exact_belief,
    fixed_baseline_gains,
    gini,
    gold_mass,
    read_belief,
    read_options,
    shannon,
    trajectory_reward,
    turn_gains,
    uncertainty,
    weights,
)
from gainful.infogain.assess import measure
from gainful.infogain.judges import SharedJudge
from gainful.infogain.types import Missing

UNKNOWN = Missing("probe_failed")
GOLD = ["alias 1", "alias 2"]
AFTER = {
    "l": (-0.1, -0.5, -1.2, -2.0),
    "forward": ((0.95, 0.10), (0.90, 0.20), (0.05, 0.80), (0.02, 0.03)),
    "backward": ((0.90, 0.15), (0.40, 0.10), (0.10, 0.85), (0.60, 0.05)),
}
BEFORE = {
    "l": (-0.3, -0.9, -1.0, -1.6),
    "forward": ((0.03, 0.02), (0.92, 0.10), (0.04, 0.05), (0.02, 0.02)),
    "backward": ((0.05, 0.02), (0.88, 0.12), (0.03, 0.02), (0.08, 0.03)),
}


def near(value):
    return pytest.approx(value, abs=1e-9)


def samples_of(case):
    return [AnswerSample(f"y{row}", logprob, 1) for row, logprob in enumerate(case["l"])]


def table_of(case):
    """P of every pair of a sample and an alias, both ways; samples entail nothing of each other."""
    table = {}
    for row in range(4):
        for column, alias in enumerate(GOLD):
            table[f"y{row}", alias] = case["forward"][row][column]
            table[alias, f"y{row}"] = case["backward"][row][column]
        table |= {(f"y{row}", f"y{other}"): 0.0 for other in range(4) if other != row}
    return table


def mass(stub, case, scheme="mean_logprob", **rules):
    samples = samples_of(case)
    return gold_mass(samples, weights(samples, scheme), stub(table_of(case)), "q", GOLD, **rules)


def test_weights_by_mean_log_probability():
    expected = (0.4645200192, 0.3113770807, 0.1546252822, 0.0694776179)
    assert weights(samples_of(AFTER), "mean_logprob") == pytest.approx(expected, abs=1e-9)


def test_weighting_by_likelihood_sharpens_what_was_drawn_by_it():
    chances = [0.5] * 5 + [0.3] * 3 + [0.2] * 2
    found = weights([AnswerSample(f"{p}", math.log(p), 1) for p in chances], "mean_logprob")
    # exp(ln p) = p, so the answers weigh .5 * 5, .3 * 3, .2 * 2 of 3.8, though each was drawn as often as it should be
    assert [found[:5].sum(), found[5:8].sum(), found[8:].sum()] == pytest.approx([0.6579, 0.2368, 0.1053], abs=1e-4)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"aliases": "max", "direction": "either"}, 0.7786824898),
        ({"aliases": "max", "direction": "forward"}, 0.7306542074),
        ({"aliases": "max", "direction": "both"}, 0.5517396661),
        ({"aliases": "max", "direction": "either", "scheme": "uniform"}, 0.6375000000),
        ({"aliases": "any", "direction": "either"}, 0.8946514515),
    ],
)
def test_soft_gold_mass(stub, rules, expected):
    assert mass(stub, AFTER, soft=True, **rules) == near(expected)


def test_default_gold_mass_counts_samples_that_match_either_alias(stub):
    # both directions above 1/2: sample 1 with alias 1, sample 3 with alias 2
    assert mass(stub, AFTER, scheme="uniform") == 0.5


def test_served_form_of_the_reward(stub):
    options = read_options({"preset": "inforeasoner_served", "judge": {"type": "normalized"}}, where="test")
    path = [
        measure(read_belief(samples_of(case), SharedJudge(stub(table_of(case))), "q", GOLD, options), options)
        for case in (BEFORE, AFTER)
    ]
    assert -path[0] == near(0.2573731678)
    assert turn_gains(path).total == near(0.5213093220)
    for outcome, expected in ((0.0, 0.3127855932), (1.0, 1.3127855932)):
        reward = trajectory_reward(
            outcome, path, weight=options.weight, form=options.form, increments=options.increments
        )
        assert reward == near(expected)
        assert trajectory_reward(outcome, path[:1], weight=0.6, form="trajectory_sum", increments="fixed") == outcome


B = ((0.4, 0.3, 0.2, 0.1), (0.3, 0.5, 0.1, 0.1), (0.9, 0.05, 0.03, 0.02))
LIKELIHOODS = (-2.3, -1.7, -0.4)


def path_of(kind, **rules):
    readings = [
        Reading(exact_belief(b), b[0], logprob, num_samples=10) for b, logprob in zip(B, LIKELIHOODS, strict=True)
    ]
    return [uncertainty(kind, reading, **rules) for reading in readings]


@pytest.mark.parametrize(
    ("kind", "first", "second", "total", "fixed"),
    [
        ("shannon", 0.1115717757, 0.7402341754, 0.8518059510, 0.9633777267),
        ("gini", 0.06, 0.4538, 0.5138, 0.5738),
        ("log", -0.2513144283, 0.9985288301, 0.7472144018, 0.4958999735),
        ("mass", -0.1, 0.6, 0.5, 0.4),
    ],
)
def test_gains_of_a_path(kind, first, second, total, fixed):
    gains = turn_gains(path_of(kind))
    assert gains.values == (near(first), near(second))
    assert gains.reward_to_go == (near(total), near(second))
    assert gains.total == near(total)
    assert sum(fixed_baseline_gains(path_of(kind))) == near(fixed)
    assert abs(sum(fixed_baseline_gains(path_of(kind))) - gains.total) > 0.05


def test_gains_of_a_path_by_likelihood():
    assert turn_gains(path_of("likelihood")).values == (near(0.0824246803), near(0.4876365220))
    assert turn_gains(path_of("likelihood", likelihood="log")).values == (near(0.6), near(1.3))


def from_counts(*counts):
    labels = [k for k, count in enumerate(counts) for _ in range(count)]
    return belief(labels, np.full(len(labels), 1 / len(labels)), labels)


@pytest.mark.parametrize(
    ("counts", "unbiased_gini", "miller_madow"),
    [((4, 3, 2, 1), 0.7777777778, 1.4298542258), ((7, 2, 1), 0.5111111111, 0.9018185525)],
)
def test_corrections_for_the_number_of_samples(counts, unbiased_gini, miller_madow):
    assert gini(from_counts(*counts)) == near(unbiased_gini)
    assert shannon(from_counts(*counts)) == near(miller_madow)


PRIOR = np.array([0.5, 0.3, 0.2])
CHANNEL = np.array([[0.8, 0.2], [0.3, 0.7], [0.1, 0.9]])


def information(kind, prior, channel):
    """Expected gain, and the gain of each observation."""

    def u(b):
        return uncertainty(kind, Reading(exact_belief(b), UNKNOWN, UNKNOWN))

    joint = prior[:, None] * channel
    chance = joint.sum(axis=0)
    drops = [u(prior) - u(joint[:, o] / chance[o]) for o in range(len(chance))]
    return float(chance @ drops), drops


@pytest.mark.parametrize(
    ("kind", "expected", "per_observation", "garbled", "merged"),
    [
        ("shannon", 0.1944700702, (0.4059939249, -0.0256874113), 0.0794309748, 0.1792919747),
        ("gini", 0.1269227691, (0.2678277586, -0.0197334444), 0.0550664813, 0.1682673069),
    ],
)
def test_channel(kind, expected, per_observation, garbled, merged):
    gain, drops = information(kind, PRIOR, CHANNEL)
    assert gain == near(expected)
    assert drops == [near(value) for value in per_observation]  # one observation may cost certainty
    assert information(kind, PRIOR, CHANNEL @ [[0.9, 0.1], [0.25, 0.75]])[0] == near(garbled)
    two = PRIOR[1:].sum()
    coarse = np.array([CHANNEL[0], PRIOR[1:] @ CHANNEL[1:] / two])
    # merging classes 2 and 3 loses Shannon information; the Gini gain, and so the expected mass, can rise
    assert information(kind, np.array([0.5, two]), coarse)[0] == near(merged)
    assert (merged < expected) == (kind == "shannon")


def test_entropy_splits_into_that_of_the_merged_classes_and_that_within_them():
    merged = shannon(exact_belief([0.5, 0.5]))
    within = 0.5 * shannon(exact_belief([0.6, 0.4]))
    assert shannon(exact_belief(PRIOR)) == near(1.0296530141)
    assert (merged, within) == (near(0.6931471806), near(0.3365058335))
    assert merged + within == near(1.0296530141)


GAINS = {"A": (0.25, 0.5), "B": (0.25, -0.25), "C": (0.125,), "D": ()}
OUTCOMES = {"A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0}


@pytest.mark.parametrize(
    ("form", "expected"),
    [("trajectory_mean", (1.225, 0.0, 0.075, 0.0)), ("trajectory_sum", (1.45, 0.0, 0.075, 0.0))],
)
def test_reward_of_whole_trajectories(form, expected):
    for (name, gains), reward in zip(GAINS.items(), expected, strict=True):
        path = [0.0, *(-sum(gains[: turn + 1]) for turn in range(len(gains)))]
        found = trajectory_reward(OUTCOMES[name], path, weight=0.6, form=form, increments="telescoping")
        assert found == near(reward)


def test_a_belief_says_what_it_is():
    found = from_counts(3, 1)
    assert isinstance(found, Belief)
    assert (found.p.tolist(), found.labels, found.n) == ([0.75, 0.25], (0, 0, 0, 1), 4)
