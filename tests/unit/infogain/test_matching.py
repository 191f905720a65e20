"""Classes, gold matches and the string rules."""

import numpy as np
import pytest

from gainful.infogain import AnswerSample, Missing, NormalizedMatchJudge, clusters, gold_mass, normalize, weights

GONE = Missing("judge_failed")


def same_pairs(*groups):
    return lambda a, b: any(a in group and b in group for group in groups)


CHAIN = same_pairs({"A", "B"}, {"B", "C"})


def entropy_of(labels, drawn_weights):
    p = np.bincount(labels, weights=drawn_weights)
    return -(p * np.log(p)).sum()


@pytest.mark.parametrize(("linkage", "expected"), [("components", 0.0), ("complete", 0.6730116670)])
def test_answers_that_contradict_each_other_are_kept_apart_by_complete_linkage(stub, drawn, linkage, expected):
    samples = drawn({"A": 2, "B": 1, "C": 2})
    found = clusters(samples, stub(CHAIN), "q", linkage)
    assert entropy_of(found, np.full(5, 0.2)) == pytest.approx(expected, abs=1e-9)


def test_the_heaviest_answer_opens_the_first_class(stub, drawn):
    # B comes first and takes A; C does not match A
    assert clusters(drawn({"A": 1, "B": 2, "C": 1}), stub(CHAIN), "q") == [0, 0, 0, 1]


def test_entailment_in_one_direction_is_no_equivalence(stub, drawn):
    judge = stub(lambda a, b: (a, b) == ("a city", "paris"))
    assert clusters(drawn({"a city": 1, "paris": 1}), judge, "q") == [0, 1]
    assert judge.asked == [("q", "a city", "paris"), ("q", "paris", "a city")]


def test_the_way_back_is_asked_only_if_the_first_direction_passes(stub, drawn):
    judge = stub(lambda a, b: False)
    clusters(drawn({"x": 1, "y": 1}), judge, "q")
    assert judge.asked == [("q", "x", "y")]


def test_an_entailment_of_exactly_the_threshold_does_not_hold(stub, drawn):
    assert clusters(drawn({"x": 1, "y": 1}), stub(lambda a, b: 0.5), "q") == [0, 1]
    assert clusters(drawn({"x": 1, "y": 1}), stub(lambda a, b: 0.5000001), "q") == [0, 0]
    assert clusters(drawn({"x": 1, "y": 1}), stub(lambda a, b: 0.5), "q", threshold=0.4) == [0, 0]


def test_samples_without_an_answer_form_their_own_class_and_are_never_asked_about(stub, drawn):
    judge = stub(lambda a, b: True)
    samples = drawn({"": 1, "  ": 1, "x": 1, "y": 1})
    assert clusters(samples, judge, "q") == [1, 1, 0, 0]
    assert gold_mass(samples, weights(samples), judge, "q", ["x", " "], direction="either") == 0.5
    assert all(premise.strip() and hypothesis.strip() for _, premise, hypothesis in judge.asked)


def test_a_judge_without_a_value_leaves_classes_and_mass_missing(stub, drawn):
    samples = drawn({"x": 1, "y": 1})
    judge = stub(lambda a, b: GONE)
    assert clusters(samples, judge, "q") is GONE
    for soft in (False, True):
        assert gold_mass(samples, weights(samples), judge, "q", ["z"], soft=soft) is GONE


@pytest.mark.parametrize(("direction", "mass"), [("either", 0.75), ("forward", 0.5), ("both", 0.25)])
def test_directions_of_a_hard_match(stub, drawn, direction, mass):
    entailments = {("same", "gold"), ("gold", "same"), ("narrow", "gold"), ("gold", "vague")}
    samples = drawn({"same": 1, "narrow": 1, "vague": 1, "other": 1})
    judge = stub(lambda a, b: (a, b) in entailments)
    assert gold_mass(samples, weights(samples), judge, "q", ["gold"], direction=direction) == mass
    # the way back is asked where it decides: where the first direction failed, nowhere, where it passed
    asked_back = {"either": ["vague", "other"], "forward": [], "both": ["same", "narrow"]}
    assert [hypothesis for _, premise, hypothesis in judge.asked if premise == "gold"] == asked_back[direction]


@pytest.mark.parametrize("gold", [[], [""], ["  ", "\n"]])
def test_without_a_gold_answer_there_is_no_mass(stub, drawn, gold):
    samples = drawn({"x": 1})
    assert gold_mass(samples, weights(samples), stub(lambda a, b: 1), "q", gold).reason == "no_gold"


def test_soft_mass_with_many_aliases_equals_the_triple_loop(stub):
    rng = np.random.default_rng(0)
    for samples_n, aliases_n in ((1, 1), (3, 5), (10, 3)):
        samples = [AnswerSample(f"s{r}", -float(rng.random()), 1) for r in range(samples_n)]
        gold = [f"g{a}" for a in range(aliases_n)]
        names = [sample.text for sample in samples] + gold
        table = {(a, b): float(rng.random()) for a in names for b in names}
        w = weights(samples, "mean_logprob")
        for direction, pick in (("both", min), ("either", max), ("forward", lambda forward, _: forward)):
            found = gold_mass(samples, w, stub(table), "q", gold, soft=True, direction=direction, aliases="max")
            looped = 0.0
            for alias in gold:
                column = 0.0
                for weight, sample in zip(w, samples, strict=True):
                    column += weight * pick(table[sample.text, alias], table[alias, sample.text])
                looped = max(looped, column)
            assert found == pytest.approx(looped, abs=1e-12)


@pytest.mark.parametrize("num_aliases", [1, 2, 3, 5, 10])
def test_full_mass_stays_full_with_any_number_of_aliases(stub, drawn, num_aliases):
    gold = ["x", *(f"other {a}" for a in range(num_aliases - 1))]
    samples = drawn({"x": 4})
    judge = stub(lambda a, b: a == b)
    for rules in ({}, {"aliases": "max", "soft": True, "direction": "either"}):
        assert gold_mass(samples, weights(samples), judge, "q", gold, **rules) == 1.0


def test_samples_that_match_different_aliases_add_up_unless_the_best_alias_is_asked_for(stub, drawn):
    samples = drawn({"x": 1, "y": 1, "z": 2})
    judge = stub(lambda a, b: a == b)
    assert gold_mass(samples, weights(samples), judge, "q", ["x", "y"]) == 0.5
    assert gold_mass(samples, weights(samples), judge, "q", ["x", "y"], aliases="max") == 0.25


def test_an_answer_that_has_matched_is_not_asked_about_further_aliases(stub, drawn):
    judge = stub(lambda a, b: a == "x" or b == "x")
    gold_mass(drawn({"y": 1}), np.ones(1), judge, "q", ["x", "z"])
    assert judge.asked == [("q", "y", "x"), ("q", "x", "y")]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  The  Eiffel Tower! ", "eiffel tower"),
        ("U.S.", "us"),
        ("Jean-Luc", "jean luc"),
        ("1990-1995", "1990 1995"),
        ("and/or", "and or"),
        ("-5", "-5"),
        ("5", "5"),
        ("3.5", "3.5"),
        ("3.5.", "3.5"),
        ("1,000", "1,000"),
        ("5%", "5%"),
        ("C#", "c#"),
        ("C++", "c++"),
        ("ﬁnal", "final"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("A", "a"),
        ("The", "the"),
        ("The Who", "who"),
        ("...", ""),
        ("", ""),
        ("東京。", "東京"),
    ],
)
def test_normalisation(text, plain):
    assert normalize(text) == plain


def entails(premise, hypothesis, **rules):
    return NormalizedMatchJudge(**rules).entail("q", [(premise, hypothesis)])[0]


def test_numbers_are_the_same_however_they_are_written_if_asked_for():
    for left, right in (("1,000", "1000"), ("1000.0", "1000"), ("-0", "0"), ("007", "7"), ("1,234,567", "1234567.00")):
        assert entails(left, right, numbers=True) == 1.0
        assert entails(left, right) == 0.0
    assert entails("1,5", "15", numbers=True) == 0.0
    assert entails("3.5", "35", numbers=True) == 0.0
    assert entails("nan", "nan", numbers=True) == entails("-5.50", "-5.5", numbers=True) == 1.0
    assert entails("-5", "5", numbers=True) == 0.0


def test_containment_holds_in_one_direction_and_for_whole_words():
    assert entails("the city of Paris, France", "Paris", containment=True) == 1.0
    assert entails("Paris", "the city of Paris, France", containment=True) == 0.0
    assert entails("parish", "paris", containment=True) == 0.0
    assert entails("...", "paris", containment=True) == entails("paris", "...", containment=True) == 0.0


def test_what_normalises_to_nothing_matches_nothing():
    assert entails("...", "!!!") == entails("...", "...") == 0.0


def test_rules_are_part_of_the_revision():
    rules = [{}, {"numbers": True}, {"containment": True}, {"numbers": True, "containment": True}]
    assert len({NormalizedMatchJudge(**chosen).revision for chosen in rules}) == 4


def test_long_numbers_are_compared_to_their_last_digit():
    assert entails("9" * 5000 + ".0", "9" * 5000, numbers=True) == 1.0
    assert entails("9" * 5000 + "1", "9" * 5000 + "2", numbers=True) == 0.0
