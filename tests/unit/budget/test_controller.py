"""The protocol of a run: caps, clock, fallbacks, cancellation, storage."""

import pytest

from gainful.budget import Budget, ControllerConfig, Cost, PriceTable, Usage
from gainful.budget.actions import Answer, Fallback, Observation
from gainful.budget.commit import ABSTENTION
from gainful.budget.controller import Controller
from gainful.budget.memory import Candidate
from gainful.budget.state import SearchState
from gainful.errors import ConfigError, InputError

SINGLE = "Who directed Solaris?"


def stored(state):
    return SearchState.model_validate_json(state.model_dump_json())


def test_a_whole_run(run, film, person):
    driven = run(budget="2/300")
    driven.step("SEARCH", film)
    driven.step("SEARCH", person)
    action = driven.step("ANSWER", text="4 April 1932 [1]", tokens=8)
    assert action.caps.max_output_tokens == 300
    report = driven.finish()
    assert (report.answer, report.origin, report.exit_reason) == ("4 April 1932", "answer", "budget:tool_calls")
    assert report.spent == {"tool_calls": 2, "output_tokens": 8, "llm_calls": 1, "seconds": 0, "tool:search": 2}
    assert report.audit_ok
    assert report.num_decisions == 3


def test_caps_of_a_proposal(run, film):
    driven = run(budget="5/100")
    driven.step("SEARCH", film)
    driven.state.pending, driven.state.last_kind = None, "SEARCH"
    propose = driven.begin(driven.decide().model_copy(update={"kind": "DECOMPOSE"}))
    assert propose.caps.max_output_tokens == 48
    assert propose.caps.max_input_tokens is None
    assert propose.evidence_ids == (driven.state.evidence[0].id,)
    driven.observe(propose, Observation(usage=Usage(output_tokens=48)))
    again = driven.decide().model_copy(update={"kind": "DECOMPOSE"})
    # 100 - 48 - 24 held = 28
    assert driven.begin(again).caps.max_output_tokens == 28


def test_caps_follow_the_money(run, film):
    controller = Controller(prices=PriceTable(input=1, output=10))
    driven = run(budget=Budget(money=0.001, tool_calls=1), controller=controller)  # 1,000 millionths
    driven.step("SEARCH", film)
    caps = driven.begin().caps
    # the prompt leaves the price of 24 tokens: 1,000 - 240 = 760; then nothing is left for more output
    assert (caps.max_input_tokens, caps.max_output_tokens) == (760, 24)


def test_caps_of_an_answer_with_limited_prompts(run, film):
    driven = run(budget=Budget(input_tokens=500, tool_calls=1, seconds=10))
    driven.now = 1.0
    driven.step("SEARCH", film)
    caps = driven.begin().caps
    assert (caps.max_input_tokens, caps.max_output_tokens, caps.timeout_seconds) == (500, 256, 9.0)


def test_a_search_leaves_time_for_the_answer(run):
    driven = run(budget=Budget(seconds=10))
    driven.now = 2.0
    assert driven.begin().caps.timeout_seconds == 6.0  # 10 - 2 - 20 %


def test_when_time_went_on_the_answer_is_asked_for_instead(run, film):
    driven = run(budget=Budget(seconds=10, tool_calls=5))
    driven.step("SEARCH", film)
    decision = driven.decide()
    assert decision.kind == "SEARCH"
    driven.now = 8.5
    action = driven.begin(decision)
    assert isinstance(action, Answer)
    assert action.caps.timeout_seconds == 1.5
    driven.observe(action, Observation(text="Tarkovsky"))
    assert driven.finish().exit_reason == "deadline"


def test_after_the_deadline_nothing_is_left_but_the_fallback(run, film):
    driven = run(budget=Budget(seconds=10, tool_calls=5))
    driven.step("SEARCH", film)
    decision = driven.decide()
    driven.now = 10.5
    action = driven.begin(decision)
    assert action == Fallback(step=1, reason="seconds")
    driven.observe(action, Observation())
    report = driven.finish()
    assert report.exit_reason == "deadline"
    assert report.late_seconds == 0.5
    assert report.answer == f"{ABSTENTION} Passages found: Solaris"


@pytest.mark.parametrize("budget", ["0/0", Budget(output_tokens=0), Budget(llm_calls=0), Budget(seconds=0)])
def test_a_budget_of_nothing_ends_in_an_answer_without_a_call(run, budget):
    driven = run(question=SINGLE, budget=budget)
    while not driven.state.done:
        action = driven.begin()
        assert action.kind in ("SEARCH", "FALLBACK")
        driven.observe(action, Observation())
    assert driven.finish().answer == ABSTENTION


def test_without_evidence_the_model_is_asked_only_if_allowed(run):
    driven = run(question=SINGLE)
    driven.step("SEARCH")
    driven.step("FALLBACK")
    assert driven.finish().exit_reason == "abstained"
    driven = run(question=SINGLE, controller=Controller(config=ControllerConfig(closed_book=True)))
    driven.step("SEARCH")
    assert driven.step("ANSWER", text="Tarkovsky").closed_book
    assert driven.finish().answer == "Tarkovsky"


def test_a_failed_answer_falls_back_to_the_best_candidate(run, film):
    driven = run(budget="1/300")
    driven.step("SEARCH", film)
    for answer, support in (("Lem", 0.0), ("Tarkovsky", 1.0), ("Soderbergh", 0.5)):
        driven.state.candidates.append(Candidate(answer=answer, origin="proposal", support=support))
    driven.step("ANSWER", text="ignored", outcome="timeout")
    report = driven.finish()
    assert (report.answer, report.origin) == ("Tarkovsky", "candidate")


def test_extracting_is_off_unless_asked_for(run, film):
    def answer(**config):
        driven = run(question=SINGLE, budget="1/300", controller=Controller(config=ControllerConfig(**config)))
        driven.step("SEARCH", film)
        driven.step("ANSWER", outcome="error")
        return driven.finish()

    assert answer().origin == "abstention"
    assert (answer(extract=True).answer, answer(extract=True).origin) == ("Andrei Tarkovsky", "extract")


def test_cancelling_charges_the_open_step_and_still_answers(run, film):
    driven = run(budget="2/300")
    driven.step("SEARCH", film)
    driven.begin()
    report = driven.finish()
    assert report.exit_reason == "cancelled"
    assert report.answer.startswith(ABSTENTION)
    assert report.spent["tool_calls"] == 2
    assert driven.finish() is report


def test_finish_does_not_raise_on_a_broken_clock(run):
    driven = run()
    driven.now = float("nan")
    report = driven.finish()
    assert "finite" in report.warnings[0]


def test_the_order_of_calls_is_checked(run, film):
    driven = run()
    decision = driven.decide()
    action = driven.begin(decision)
    with pytest.raises(InputError, match="still open"):
        driven.decide()
    with pytest.raises(InputError, match="still open"):
        driven.begin(decision)
    with pytest.raises(InputError, match="SEARCH of step 0 is not open"):
        driven.observe(action.model_copy(update={"query": "another"}), Observation())
    driven.observe(action, Observation(passages=(film,)))
    with pytest.raises(InputError, match="exactly once"):
        driven.observe(action, Observation())
    with pytest.raises(InputError, match="step 0, the run is at 1"):
        driven.begin(decision)
    driven.finish()
    with pytest.raises(InputError, match="over"):
        driven.decide()


def test_a_step_that_never_started_is_not_charged(run):
    driven = run(question=SINGLE, budget="1/300")
    driven.step("SEARCH", started=False)
    assert driven.state.ledger.left()["tool_calls"] == 1
    assert driven.state.uses == []


def test_an_open_step_can_be_observed_after_a_restart(run, film):
    driven = run(budget="2/300")
    action = driven.begin()
    driven.state = stored(driven.state)
    assert driven.state.ledger.left()["tool_calls"] == 1
    driven.observe(action, Observation(passages=(film,)))
    assert len(driven.state.evidence) == 1
    assert driven.state.ledger.left()["tool_calls"] == 1
    assert driven.decide().kind == "SEARCH"


def test_a_stored_state_is_equal(run, film):
    driven = run(budget=Budget(seconds=9, money=1, tool_calls=3), controller=Controller(prices=PriceTable(input=1)))
    driven.step("SEARCH", film)
    assert stored(driven.state) == driven.state
    driven.finish()
    assert stored(driven.state) == driven.state


def test_a_grant_lets_the_run_go_on_and_is_recorded(run, film):
    driven = run(budget="1/300")
    driven.step("SEARCH", film)
    assert driven.decide().kind == "ANSWER"
    driven.controller.grant(driven.state, Cost(tool_calls=2), "the user agreed", driven.now)
    assert driven.decide().kind == "SEARCH"
    assert driven.state.trace.records[-1].record == "grant"
    driven.step("SEARCH")
    assert driven.finish().grants[0].amounts == {"tool_calls": 2}


def test_several_tools_have_limits_of_their_own(run, film):
    driven = run(budget=Budget(tool_calls=5, per_tool={"web": 1}), tools=("web", "notes"))
    assert driven.step("SEARCH", film).tool == "notes"  # the web's one call would be its last
    driven = run(budget=Budget(tool_calls=5, per_tool={"web": 0}), tools=("web", "notes"))
    assert driven.begin().tool == "notes"


def test_the_hosts_own_steps_are_kept(run, film):
    driven = run(budget="5/300", host_steps=2)
    driven.step("SEARCH", film)
    assert driven.decide().reason == "host_steps"
    driven.step("ANSWER", text="x")
    assert driven.finish().exit_reason == "budget:host_steps"


def test_a_run_keeps_its_constants_under_another_controller(run, film):
    driven = run(controller=Controller(config=ControllerConfig(passages_per_search=9)))
    driven.controller = Controller()
    assert driven.begin().num_passages == 9


def test_start_refuses_what_cannot_run():
    controller = Controller()
    with pytest.raises(InputError, match="at least one"):
        controller.start("q", "2/300", 0.0, tools=())
    with pytest.raises(InputError, match="finite"):
        controller.start("q", "2/300", float("inf"))
    with pytest.raises(ConfigError, match="prices"):
        controller.start("q", Budget(money=1), 0.0)


def test_one_controller_serves_many_runs(run, film):
    controller = Controller()
    first, second = run(controller=controller, budget="1/300"), run(controller=controller, budget="2/300")
    first.step("SEARCH", film)
    assert second.state.ledger.left()["tool_calls"] == 2
    assert second.state.evidence == []


def test_two_level_stops_at_the_least_utility(run, film):
    driven = run(budget="9/900", controller=Controller(config=ControllerConfig(min_utility=0.9, weak_support=0.0)))
    driven.step("SEARCH", film)
    decision = driven.decide()
    assert 0 < decision.options[0].u < 0.9
    assert (decision.kind, decision.reason) == ("ANSWER", "value")


def test_equal_scores_go_to_the_search(run):
    class Same:
        name = "same"

        def request(self, view):
            return None

        def value(self, view, move, features):
            from gainful.budget.value import ValueEstimate

            return ValueEstimate(delta=0.5)

        def estimate(self, view, move):
            return Cost()

        def observe(self, move, usage):
            pass

    driven = run(controller=Controller(value_model=Same(), cost_model=Same()))
    [search, decompose] = driven.decide().options
    assert search.r == decompose.r
    assert driven.decide().kind == "SEARCH"
