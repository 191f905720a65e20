"""Each guard, what it bars, and where it gives way."""

import pytest

from gainful.budget import ControllerConfig
from gainful.budget.controller import Controller
from gainful.budget.guards import is_sufficient
from gainful.budget.memory import Candidate
from gainful.budget.value import ConstantOptions, ConstantValue

SINGLE = "Who directed Solaris?"
WORTHLESS = Controller(value_model=ConstantValue(ConstantOptions(delta=-1.0)))


def notes(decision):
    return {note.name: note.effect for note in decision.guards}


def fill(state):
    """Two filled slots, as many as the question needs, and two candidates that agree and are dates."""
    state.slots = [slot.model_copy(update={"status": "filled"}) for slot in state.slots * 2]
    state.candidates = [Candidate(answer="4 April 1932", origin="proposal", support=1.0)] * 2


def test_1_only_the_answer_is_feasible(run, film):
    driven = run(budget="1/300")
    driven.step("SEARCH", film)
    decision = driven.decide()
    assert (decision.kind, decision.reason) == ("ANSWER", "tool_calls")
    assert "tool_calls" in notes(decision)["feasibility"]


def test_1_no_proposal_whose_search_could_not_follow(run, film):
    driven = run(budget="1/300")
    decision = driven.decide()
    assert decision.kind == "SEARCH"
    assert "DECOMPOSE" in {option.move.kind for option in decision.options}
    driven.step("SEARCH", film)
    assert "no search could follow" in notes(driven.decide())["feasibility"]


def test_1_no_step_below_the_least_useful_cap(run):
    # 69 - 24 held leaves 45 for a proposal, 39 - 24 leaves 15, one short of 16
    assert "DECOMPOSE" in {option.move.kind for option in run(budget="2/69").decide().options}
    decision = run(budget="2/39").decide()
    assert notes(decision)["feasibility"] == "output_tokens: no DECOMPOSE"


def test_1_searches_are_bounded_without_a_limit_on_calls(run, film):
    driven = run(budget={"output_tokens": 500}, controller=Controller(config=ControllerConfig(max_steps=1)))
    driven.step("SEARCH", film)
    assert driven.decide().reason == "max_steps"


def test_2_a_query_is_not_searched_again(run, film):
    driven = run(question=SINGLE, budget="5/500")
    driven.step("SEARCH", film)
    decision = driven.decide()
    assert notes(decision)["repetition"] == "queries searched before: 1"
    assert all(option.move.query != SINGLE for option in decision.options)


def test_2_without_any_new_query_the_answer_is_given(run):
    driven = run(question=SINGLE, budget="5/500")
    driven.step("SEARCH")
    decision = driven.decide()
    assert (decision.kind, decision.reason) == ("ANSWER", "no new query")


def test_3_no_proposal_for_a_question_for_one_fact(run):
    decision = run(question=SINGLE).decide()
    assert notes(decision)["single factor"] == "the question asks for one fact: no DECOMPOSE"
    assert [option.move.kind for option in decision.options] == ["SEARCH"]


def test_3_no_proposal_while_one_waits_and_not_too_many(run, film):
    driven = run(budget="9/900")
    driven.step("SEARCH", film)
    driven.state.pending = "birth date of Tarkovsky"
    assert "one waits to be searched" in notes(driven.decide())["proposals"]
    driven.state.pending, driven.state.num_proposals = None, 4
    assert "4 were made" in notes(driven.decide())["proposals"]


def test_4_a_compositional_question_is_searched_at_least_once(run):
    decision = run(controller=WORTHLESS).decide()
    assert decision.kind == "SEARCH"
    assert decision.forced
    assert notes(decision)["compositional"] == "nothing was searched: no ANSWER"


def test_5_no_answer_on_weak_support_until_the_budget_runs_out(run, film):
    driven = run(question=SINGLE, budget="4/500", controller=WORTHLESS)
    decision = driven.decide()
    # s = sigmoid(-2) = 0.12 < 0.35 * (1 - 0)
    assert notes(decision)["weak support"] == "s is below 0.35: no ANSWER"
    assert (decision.kind, decision.forced) == ("SEARCH", True)
    driven.step("SEARCH", film)
    assert "weak support" not in notes(driven.decide())  # covered by one passage: s is above 0.35 * 3/4
    assert driven.decide().kind == "ANSWER"


def test_5_falls_to_zero_with_the_budget(run, film):
    driven = run(budget="2/500", controller=WORTHLESS)
    driven.step("SEARCH", film)
    driven.step("SEARCH")
    assert driven.decide().kind == "ANSWER"


def test_6_sufficient_support_ends_the_search(run, film, person):
    driven = run(budget="5/900")
    driven.step("SEARCH", film, person)
    fill(driven.state)
    driven.state.refresh()
    decision = driven.decide()
    assert (decision.kind, decision.reason) == ("ANSWER", "sufficient support")
    assert notes(decision)["sufficient support"] == "all slots are filled: no SEARCH, no DECOMPOSE"


def test_6_gives_way_where_it_would_leave_nothing(run, film, person):
    driven = run(budget="5/900")
    driven.step("SEARCH", film, person)
    fill(driven.state)
    driven.state.num_searches = 0
    driven.state.refresh()
    decision = driven.decide()
    assert "skipped" in notes(decision)["sufficient support"]
    assert decision.kind == "SEARCH"


@pytest.mark.parametrize(
    ("signs", "sufficient"),
    [
        ({}, False),
        ({"type_match": 1}, False),
        ({"type_match": 1, "q_cov": 0.6}, True),
        ({"type_match": 1, "q_cov": 0.59}, False),
        ({"cand_agree": 1, "done_claim": 1}, True),
        ({"cand_agree": 1, "done_claim": 1, "slots_filled": 0.9}, False),
    ],
)
def test_what_counts_as_sufficient(signs, sufficient):
    nothing = {"slots_filled": 1.0, "cand_agree": 0, "done_claim": 0, "type_match": 0, "q_cov": 0}
    assert is_sufficient({**nothing, **signs}, 0.6) is sufficient
