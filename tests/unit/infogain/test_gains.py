"""Values that are missing stay missing; gains telescope; weights and classes by hand."""

import math

import numpy as np
import pytest

from gainful.errors import ConfigError, InputError, ShapeError
from gainful.infogain import (
    AnswerSample,
    Missing,
    NormalizedMatchJudge,
    Reading,
    belief,
    clusters,
    exact_belief,
    fixed_baseline_gains,
    gini,
    gold_mass,
    shannon,
    trajectory_reward,
    turn_gains,
    uncertainty,
    weights,
)

GONE = Missing("judge_failed", "HTTP 500")


@pytest.mark.parametrize(
    "use",
    [
        float,
        bool,
        int,
        round,
        lambda value: value + 1,
        lambda value: 1.0 - value,
        lambda value: value * 2,
        lambda value: np.float64(1) + value,
        lambda value: np.array([value], dtype=np.float64),
        lambda value: sum([value]),
        lambda value: value < 0.5,
        lambda value: value or 0.0,
    ],
)
def test_a_missing_value_never_becomes_a_number(use):
    with pytest.raises(TypeError):
        use(GONE)


def test_a_missing_value_needs_a_known_reason():
    with pytest.raises(InputError, match="unknown reason 'tired'; known: probe_failed"):
        Missing("tired")


def test_an_unknown_belief_leaves_the_gains_on_both_sides_unknown_and_the_total_known():
    gains = turn_gains([-0.2, GONE, -0.7])
    assert gains.values == (GONE, GONE)
    assert gains.reward_to_go == (0.7 - 0.2, GONE)
    assert gains.total == 0.7 - 0.2


def test_without_the_last_belief_nothing_ahead_is_known():
    gains = turn_gains([-0.2, -0.4, GONE])
    assert gains.values == (pytest.approx(0.2), GONE)
    assert gains.reward_to_go == (GONE, GONE)
    assert gains.total is GONE


def test_no_search_gains_nothing_which_is_a_fact_even_where_the_belief_is_unknown():
    for path in ([-0.3], [GONE]):
        assert turn_gains(path).total == 0.0
        assert turn_gains(path).values == ()
        assert trajectory_reward(1.0, path, weight=0.6, form="trajectory_sum", increments="fixed") == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gains_of_what_is_not_finite_are_refused(bad):
    with pytest.raises(InputError, match="finite or Missing, got -?(nan|inf) at 1"):
        turn_gains([0.1, bad])


def test_gains_need_a_first_belief():
    with pytest.raises(ShapeError, match="before the first turn"):
        turn_gains([])


def test_unknown_gains_make_the_reward_unknown_only_where_they_are_needed():
    path = [-0.2, GONE, -0.7]
    telescoping = trajectory_reward(1.0, path, weight=0.6, form="trajectory_sum", increments="telescoping")
    assert telescoping == 1.0 + 0.6 * (0.7 - 0.2)
    assert trajectory_reward(1.0, path, weight=0.6, form="trajectory_mean", increments="fixed") is GONE
    assert fixed_baseline_gains(path) == (GONE, 0.7 - 0.2)
    unknown = Missing("no_outcome")
    assert trajectory_reward(unknown, path, weight=0.6, form="turn", increments="telescoping") is unknown


def test_each_kind_needs_only_its_own_measurement():
    known = exact_belief([0.5, 0.5])
    assert uncertainty("shannon", Reading(known, GONE, GONE)) == pytest.approx(math.log(2))
    assert uncertainty("mass", Reading(GONE, 0.25, GONE)) == -0.25
    assert uncertainty("likelihood", Reading(GONE, GONE, -1.0)) == -math.exp(-1.0)
    assert uncertainty("likelihood", Reading(GONE, GONE, -1.0), likelihood="log") == 1.0
    for kind, reading in (
        ("shannon", Reading(GONE, 0.5, -1.0)),
        ("gini", Reading(GONE, 0.5, -1.0)),
        ("mass", Reading(known, GONE, -1.0)),
        ("log", Reading(known, GONE, -1.0)),
        ("likelihood", Reading(known, 0.5, GONE)),
    ):
        assert uncertainty(kind, reading) is GONE


def test_names_that_are_not_known_never_fall_through_to_another_rule():
    samples, reading, judge = [AnswerSample("a", -1.0, 1)], Reading(GONE, 0.5, GONE, 4), NormalizedMatchJudge()
    for call, message in (
        (lambda: uncertainty("entropy", reading), "unknown kind 'entropy'"),
        (lambda: weights(samples, "unifrom"), "unknown weights 'unifrom'; did you mean 'uniform'"),
        (lambda: clusters(samples, judge, "q", "single"), "unknown linkage 'single'"),
        (lambda: gold_mass(samples, np.ones(1), judge, "q", ["a"], direction="backward"), "unknown direction"),
        (lambda: gold_mass(samples, np.ones(1), judge, "q", ["a"], aliases="all"), "unknown aliases 'all'"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()


def test_the_logarithm_needs_to_know_how_many_samples_there_were():
    with pytest.raises(InputError, match="needs the number of samples"):
        uncertainty("log", Reading(GONE, 0.5, GONE))


@pytest.mark.parametrize("n", [2, 10, 64])
def test_smoothed_log_gain_is_bounded(n):
    nothing, everything = (uncertainty("log", Reading(GONE, m, GONE, num_samples=n)) for m in (0.0, 1.0))
    # ln((n + .5) / .5) = ln(2 n + 1)
    assert nothing - everything == pytest.approx(math.log(2 * n + 1), abs=1e-12)


def test_one_sample_has_none_to_disagree_with():
    single = belief([0], np.ones(1), [0])
    assert uncertainty("gini", Reading(single, GONE, GONE)) == Missing("probe_empty", "gini needs at least 2 samples")
    with pytest.raises(InputError, match="at least 2 samples"):
        gini(single)
    assert shannon(single) == 0.0


def test_belief_refuses_what_is_no_distribution():
    with pytest.raises(ShapeError, match="one length R >= 1, got 2, 1, 2"):
        belief([0, 0], np.ones(1), [0, 0])
    with pytest.raises(InputError, match="sum to 1, got a sum of 2"):
        belief([0, 0], np.ones(2), [0, 0])
    with pytest.raises(InputError, match="sum to 1, got a sum of nan"):
        exact_belief([0.5, math.nan])
    for gap in ([0, 2], [-1, 0]):
        with pytest.raises(InputError, match="without a gap"):
            belief([0, 0], np.full(2, 0.5), gap)


def test_weights_by_answer_share_what_an_answer_weighs():
    samples = [AnswerSample("a", -1.0, 4), AnswerSample("b", -2.0, 1), AnswerSample("a", -1.5, 3)]
    found = weights(samples, "unique_logprob")
    total = math.exp(-1) + math.exp(-2)  # of "a" the larger counts
    assert found == pytest.approx([math.exp(-1) / total / 2, math.exp(-2) / total, math.exp(-1) / total / 2])


@pytest.mark.parametrize("scheme", ["mean_logprob", "unique_logprob"])
def test_weights_without_log_probabilities_are_missing(scheme):
    assert weights([AnswerSample("a", -1.0, 2), AnswerSample("b")], scheme).reason == "probe_failed"
    assert weights([], scheme).reason == "probe_empty"
    assert weights([AnswerSample("a"), AnswerSample("b")]).tolist() == [0.5, 0.5]


def test_very_unlikely_samples_still_have_weights():
    found = weights([AnswerSample("a", -1e5, 1), AnswerSample("b", -1e5 - 1, 1)], "mean_logprob")
    assert found == pytest.approx([1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))])


@pytest.mark.parametrize("bad", [(0.1, 1), (math.nan, 1), (-1.0, 0), ("x", 1)])
def test_impossible_samples_are_refused(bad):
    with pytest.raises(ValueError, match="AnswerSample"):
        AnswerSample("a", *bad)
