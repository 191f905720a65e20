"""What holds for every set of samples and every judge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.infogain import AnswerSample, Missing, SharedJudge, measure, read_belief, read_options, turn_gains
from gainful.infogain.assess import Inquiry, reading_of, run_all

TEXTS = ("a", "b", "c", "d", "e", "")
GOLD = ("g", "h")
OPTIONS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["shannon", "gini", "log", "mass"]),
        "weights": st.sampled_from(["uniform", "mean_logprob", "unique_logprob"]),
        "match": st.fixed_dictionaries(
            {
                "direction": st.sampled_from(["both", "forward", "either"]),
                "soft": st.booleans(),
                "aliases": st.sampled_from(["any", "max"]),
            }
        ),
        "cluster": st.fixed_dictionaries({"linkage": st.sampled_from(["complete", "components"])}),
    }
).map(lambda section: read_options(section, where="test"))
SAMPLES = st.lists(
    st.builds(AnswerSample, st.sampled_from(TEXTS), st.floats(-20, 0), st.integers(1, 8)), min_size=2, max_size=12
)
TABLES = st.lists(st.floats(0, 1), min_size=64, max_size=64)


class TableJudge:
    """A value for each ordered pair of the eight texts; symmetry, reflexivity or transitivity are not given."""

    name = "table"
    revision = "1"

    def __init__(self, values):
        self.values = values
        self.asked = []

    def entail(self, question, pairs):
        names = (*TEXTS, *GOLD)
        self.asked += pairs
        return [self.values[8 * names.index(a) + names.index(b)] for a, b in pairs]


def reading(samples, table, options, gold=GOLD):
    return read_belief(samples, SharedJudge(TableJudge(table)), "q", gold, options)


def same(left, right):
    assert left.gold_mass == pytest.approx(right.gold_mass, abs=1e-12)
    assert left.belief.p.tolist() == pytest.approx(right.belief.p.tolist(), abs=1e-12)


@given(samples=SAMPLES, table=TABLES, options=OPTIONS, data=st.data())
def test_the_order_of_samples_and_aliases_does_not_matter(samples, table, options, data):
    shuffled = data.draw(st.permutations(samples))
    found, again = reading(samples, table, options), reading(shuffled, table, options, gold=GOLD[::-1])
    assert again.gold_mass == found.gold_mass
    if options.weights == "uniform":  # other weights may tie up to rounding, which decides who opens a class
        assert again.belief.p.tolist() == found.belief.p.tolist()
        assert measure(again, options) == measure(found, options)


@given(samples=SAMPLES, table=TABLES, options=OPTIONS)
def test_having_every_sample_twice_changes_no_belief(samples, table, options):
    same(reading(samples * 2, table, options), reading(samples, table, options))


@given(samples=SAMPLES, table=TABLES, options=OPTIONS)
def test_equal_samples_before_and_after_gain_exactly_nothing(samples, table, options):
    u = [measure(reading(samples, table, options), options) for _ in range(2)]
    assert turn_gains(u).total == 0.0


@given(samples=SAMPLES, after=SAMPLES, table=TABLES, options=OPTIONS)
def test_masses_are_shares_and_their_gain_is_bounded(samples, after, table, options):
    masses = [reading(drawn, table, options).gold_mass for drawn in (samples, after)]
    assert all(-1e-12 <= mass <= 1 + 1e-12 for mass in masses)
    readings = [reading(drawn, table, options) for drawn in (samples, after)]
    if options.kind == "log":
        n = max(len(samples), len(after))
        gain = turn_gains([measure(found, options) for found in readings]).total
        assert abs(gain) <= math.log(2 * n + 1) + 1e-9
    for found in readings:
        assert found.belief.p.sum() == pytest.approx(1)
        assert len(found.belief.labels) == found.belief.n


@given(samples=SAMPLES, table=TABLES, options=OPTIONS)
def test_a_further_alias_never_lowers_the_mass(samples, table, options):
    assert (
        reading(samples, table, options).gold_mass >= reading(samples, table, options, gold=GOLD[:1]).gold_mass - 1e-12
    )


@given(samples=SAMPLES, table=TABLES, options=OPTIONS)
def test_the_judge_is_asked_each_pair_once_never_about_nothing_and_never_beyond_the_bound(samples, table, options):
    judge = TableJudge(table)
    inquiry = Inquiry("q", reading_of(samples, GOLD, options))
    run_all([inquiry], SharedJudge(judge))
    answers = {sample.answer for sample in samples} - {""}
    assert len(judge.asked) == len(set(judge.asked)) == inquiry.num_forwards
    assert not any("" in pair or pair[0] == pair[1] for pair in judge.asked)
    assert len(judge.asked) <= len(answers) * (len(answers) - 1) + 2 * len(answers) * len(GOLD)


@given(samples=SAMPLES, table=TABLES, options=OPTIONS)
def test_members_of_a_complete_class_all_match_and_components_are_closed(samples, table, options):
    found = reading(samples, table, options)
    names = (*TEXTS, *GOLD)
    values = np.array(table).reshape(8, 8)
    match = (values > 0.5) & (values.T > 0.5)
    classes = {}
    for sample, label in zip(samples, found.belief.labels, strict=True):
        classes.setdefault(label, set()).add(sample.answer)
    for label, members in classes.items():
        for other in classes.keys() - {label}:
            if options.cluster.linkage == "components" and "" not in members | classes[other]:
                assert not any(match[names.index(a), names.index(b)] for a in members for b in classes[other])
        if options.cluster.linkage == "complete":
            assert all(match[names.index(a), names.index(b)] for a in members for b in members if a != b)
        assert "" not in members or members == {""}


@given(samples=SAMPLES, table=TABLES, options=OPTIONS, broken=st.integers(0, 63))
def test_a_value_that_the_judge_does_not_have_is_never_read_as_a_number(samples, table, options, broken):
    gaps = [*table]
    gaps[broken] = Missing("judge_failed")
    whole, found = reading(samples, table, options), reading(samples, gaps, options)
    # either the gap was needed, and the result says so, or it was not, and the result is the same
    assert isinstance(found.gold_mass, Missing) or found.gold_mass == whole.gold_mass
    assert isinstance(found.belief, Missing) or found.belief.labels == whole.belief.labels
    u = measure(found, options)
    assert isinstance(u, Missing) or u == measure(whole, options)
