"""Features of a run, by hand."""

import math

import pytest

from gainful.budget import Usage
from gainful.budget.actions import Observation, Passage
from gainful.budget.memory import Candidate, Slot

SINGLE = "Who directed Solaris?"
COMPARISON = "Who is older, Ada Lovelace or Bob Marley?"


def features(driven):
    driven.state.refresh()
    return driven.state.digest.features


def test_an_empty_run_has_no_support(run):
    seen = dict(run().state.digest.features)
    assert seen.pop("p_comp") > 0
    assert set(seen.values()) == {0.0}


def test_slots_filled_counts_against_what_the_question_needs(run, film):
    driven = run()  # two hops
    assert len(driven.state.slots) == 1
    driven.state.slots = [Slot(text="a", status="filled"), Slot(text="b")]
    assert features(driven)["slots_filled"] == 0.5
    driven.state.slots = [Slot(text="a", status="filled"), Slot(text="b"), Slot(text="c", status="failed")]
    assert features(driven)["slots_filled"] == pytest.approx(1 / 3)


def test_a_comparison_has_one_slot_per_name_and_passages_fill_them(run):
    driven = run(question=COMPARISON, budget="5/500")
    assert [slot.text for slot in driven.state.slots] == ["Ada Lovelace", "Bob Marley"]
    driven.step("SEARCH", Passage(title="Ada Lovelace", text="born 1815"))
    assert [slot.status for slot in driven.state.slots] == ["filled", "open"]


def test_a_passage_fills_the_slot_of_a_question_for_one_fact(run, film):
    driven = run(question=SINGLE, budget="5/500")
    driven.step("SEARCH", Passage(title="Mirror", text="directed by nobody"), film)
    # directed, solaris: the second passage has both, and a name
    [slot] = driven.state.slots
    assert slot.status == "filled"
    assert slot.evidence_ids == (driven.state.evidence[1].id,)


def test_question_coverage_is_that_of_the_single_best_passage(run):
    driven = run(question=SINGLE, budget="5/500")
    driven.step("SEARCH", Passage(text="directed"), Passage(text="Solaris"))
    # both terms stand in one of two passages each: equal weights, half covered
    assert features(driven)["q_cov"] == pytest.approx(0.5)


def test_candidates(run, film):
    driven = run(question=SINGLE, budget="5/500")
    driven.step("SEARCH", film)
    driven.state.candidates = [Candidate(answer="Tarkovsky", origin="proposal", support=0.25)]
    assert features(driven)["cand_overlap"] == 0.25
    assert features(driven)["cand_agree"] == 0
    assert features(driven)["type_match"] == 1
    driven.state.candidates.append(Candidate(answer="the tarkovsky.", origin="proposal", support=0.5))
    assert features(driven)["cand_agree"] == 1
    assert features(driven)["type_match"] == 0  # lower case is no name


@pytest.mark.parametrize(
    ("scores", "margin"),
    [
        ((4.0, 3.0), 0.25),
        ((3.0, 4.0), 0.25),
        ((-1.0, -3.0), 1.0),
        ((0.0, -1.0), 0.0),
        ((None, 1.0), 0.5),
        ((2.0,), 1.0),
    ],
)
def test_margin_between_the_best_two(run, scores, margin):
    driven = run()
    driven.step("SEARCH", *(Passage(text=f"p{place}", score=score) for place, score in enumerate(scores)))
    assert features(driven)["margin"] == pytest.approx(margin)


def test_a_bridge_is_open_while_the_pending_question_names_what_was_found(run, film):
    driven = run(budget="5/500")
    driven.step("SEARCH", film)
    driven.state.last_kind = "SEARCH"
    decision = driven.decide().model_copy(update={"kind": "DECOMPOSE"})
    action = driven.begin(decision)
    text = "FOUND: Andrei Tarkovsky\nNEXT: birth date of Andrei Tarkovsky"
    driven.observe(action, Observation(text=text, usage=Usage(output_tokens=9)))
    assert driven.state.digest.features["bridge_open"] == 1
    # its name once more, and what no passage has of the question
    assert driven.step("SEARCH").query == "birth date of Andrei Tarkovsky Andrei Tarkovsky director born"
    assert driven.state.digest.features["bridge_open"] == 0


def test_loop_grows_with_dry_searches(run):
    driven = run()
    driven.state.dry = 1
    assert features(driven)["loop"] == 0.5
    driven.state.dry = 5
    assert features(driven)["loop"] == 1


def test_novelty_is_the_distance_to_the_nearest_query(run, film):
    driven = run(budget="5/500")
    driven.step("SEARCH", film)
    [move] = [move for move in driven.state.digest.searches if move.purpose == "bridge"]
    # the bridge: a name from the passage and the question's terms that it does not have
    assert move.query == "Andrei Tarkovsky director born"
    # director and born of the question's 8 distinct words (when was the director of film solaris born) plus 2 names
    assert move.novelty == pytest.approx(1 - 2 / 10)


def test_all_features_are_shares(run, film, person):
    driven = run(budget="5/500")
    driven.step("SEARCH", film, person)
    for value in driven.decide().features.values():
        assert 0 <= value <= 1
        assert math.isfinite(value)
