"""What actions are worth, by hand; models that fail."""

import math

import pytest

from gainful.budget import ControllerConfig, Usage
from gainful.budget.actions import LLMRequest, Move, Observation
from gainful.budget.controller import Controller
from gainful.budget.registry import find_cost_model, find_value_model
from gainful.budget.value import ConstantValue, HeuristicValue, RandomOptions, RandomValue, ValueEstimate
from gainful.errors import ConfigError, UnknownNameError

S0 = 1 / (1 + math.exp(2))  # support of an empty run


def test_value_of_the_first_search(run):
    [search, decompose] = run(budget="2/300").decide().options
    # (1 - s) * open * novelty 1 * 0.5^0 * 0.7, and open is 1 - s; the budget is full, so no price
    assert search.u == search.delta == pytest.approx((1 - S0) * (1 - S0) * 0.7)
    assert (search.psi, search.pi) == (0, 0)
    # 1 of 2 calls; of tokens none: 0.5 + 0.25 * 0
    assert search.d == 0.5
    assert search.r == pytest.approx(search.u / 0.5)
    # the same unit: a proposal and its search find something with a chance of 0.6
    assert decompose.u == pytest.approx((1 - S0) * (1 - S0) * 0.6)
    # with its follow-up search 1/2 and 24 of 300 - 45 tokens
    assert decompose.d == pytest.approx(0.5 + 0.25 * 24 / 255)


def test_value_of_a_later_search_and_a_proposal(run, film):
    driven = run(budget="3/300")
    driven.step("SEARCH", film)
    decision = driven.decide()
    [search, decompose] = decision.options
    s = decision.support
    # rho = 1/3: lambda = 0.15 * (3/2 - 1) = 0.075, and one call of three
    assert search.pi == pytest.approx(0.075 / 3)
    assert search.move.purpose == "bridge"
    # one search brought news: hop 1
    assert search.delta == pytest.approx((1 - s) * search.move.novelty * 0.5)
    # two facts needed, both open
    assert decompose.delta == pytest.approx((1 - s) * 1 * 0.25)


def test_a_proposal_is_made_where_nothing_else_can_be_searched(run):
    driven = run(budget="4/300")
    driven.step("SEARCH")
    decision = driven.decide()
    # still hop 0
    assert decision.options[-1].delta == pytest.approx((1 - decision.support) * 0.60)
    assert decision.kind == "DECOMPOSE"


def test_dry_searches_are_worth_less_and_looping_is_held_against_them(run, film, person):
    driven = run(budget="6/500")
    cast = film.model_copy(update={"text": f"{film.text} With Natalya Bondarchuk and Donatas Banionis."})
    driven.step("SEARCH", cast, person)
    driven.step("SEARCH", cast)
    assert driven.state.dry == 1
    decision = driven.decide()
    search = next(option for option in decision.options if option.move.kind == "SEARCH")
    assert search.delta == pytest.approx((1 - decision.support) * search.move.novelty * 0.5 * 0.5)
    assert search.psi == pytest.approx(-0.10 * 0.5)


def test_a_pending_question_gets_its_bonus_and_bars_another(run, film):
    driven = run(budget="6/500")
    driven.step("SEARCH", film)
    driven.state.pending = "Andrei Tarkovsky date of birth"
    driven.state.refresh()
    decision = driven.decide()
    search, other = decision.options
    assert (search.move.purpose, search.psi) == ("pending", 0.10)
    assert search.delta == pytest.approx((1 - decision.support) * search.move.novelty * 0.25)
    assert other.move.purpose == "bridge"


def test_each_proposal_without_news_costs_more(run, film):
    driven = run(budget="9/900")
    driven.step("SEARCH", film)
    driven.state.proposals_since_new = 3
    decompose = driven.decide().options[-1]
    assert decompose.psi == pytest.approx(-0.30)


def test_answer_under_the_ratio_rule(run, film):
    driven = run(budget="2/300", controller=Controller(config=ControllerConfig(scoring="ratio")))
    driven.step("SEARCH", film)
    decision = driven.decide()
    answer = decision.options[-1]
    assert answer.move.kind == "ANSWER"
    assert answer.delta == pytest.approx(decision.support - 0.20)
    # 24 of 300 tokens; of calls none; the ratio adds eps instead of a floor
    assert answer.d == pytest.approx(24 / 300 + 0.05)


def test_critic_counts_the_rise_of_its_score_only(run, film, person):
    driven = run(budget="5/500", controller=Controller(value_model="critic"))
    driven.step("SEARCH", film)
    driven.step("CRITIQUE", text="60", tokens=2)
    level = driven.decide()
    assert level.features["critic_delta"] == 0
    driven.step("SEARCH", person)
    driven.step("CRITIQUE", text="I say 90.", tokens=2)
    decision = driven.decide()
    assert decision.features["critic_delta"] == pytest.approx(0.3)
    search = decision.options[0]
    own = HeuristicValue()._search(_view(driven, decision), search.move, decision.features["loop"])
    assert search.delta == pytest.approx(own.delta + 0.20 * 0.3)


def test_at_most_one_critique_per_step_and_capped_by_the_config(run, film):
    class Greedy(HeuristicValue):
        def request(self, view):
            return LLMRequest(prompt="rate", max_output_tokens=10_000)

    driven = run(controller=Controller(value_model=Greedy()))
    assert driven.step("CRITIQUE", text="nonsense", tokens=1).caps.max_output_tokens == 16
    assert driven.state.critic_scores == []
    driven.step("SEARCH", film)
    driven.step("CRITIQUE", text="7", tokens=1)


def test_constant_values_leave_it_to_cost_and_order(run):
    [search, decompose] = run(controller=Controller(value_model=ConstantValue())).decide().options
    assert search.u == decompose.u == 1.0


def test_random_values_repeat_and_differ_by_seed_and_step(run):
    def first(seed):
        driven = run(controller=Controller(value_model=RandomValue(RandomOptions(seed=seed))))
        return driven.decide().options[0].u

    assert first(1) == first(1) != first(2)
    assert 0 <= first(1) < 1


class Failing(HeuristicValue):
    name = "failing"

    def __init__(self, outcome):
        self.outcome = outcome

    def value(self, view, move, features):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize(
    "outcome",
    [
        RuntimeError("no"),
        None,
        0.5,
        ValueEstimate.model_construct(delta=math.nan, psi=0.0),
        ValueEstimate.model_construct(delta=0.0, psi=math.inf),
        ValueEstimate.model_construct(delta="much", psi=0.0),
    ],
)
def test_a_failing_model_is_replaced_for_the_step_and_named_in_the_trace(run, outcome):
    driven, plain = run(controller=Controller(value_model=Failing(outcome))), run()
    decision = driven.decide()
    assert decision.options == plain.decide().options
    assert all("failing" in warning for warning in decision.warnings)
    driven.step("SEARCH")
    assert driven.state.trace.steps[0].warnings


def test_values_are_clipped(run):
    option = run(controller=Controller(value_model=Failing(ValueEstimate(delta=9.0, psi=-7.0)))).decide().options[0]
    assert (option.delta, option.psi) == (1.0, -1.0)


def test_a_model_cannot_change_the_run(run, film):
    class Meddling(HeuristicValue):
        def value(self, view, move, features):
            features["rho"] = 0.0
            view.left["tool_calls"] = 10**6
            with pytest.raises(AttributeError):
                view.dry = 7
            with pytest.raises(AttributeError):
                view.evidence.append(1)
            return super().value(view, move, features)

    driven = run(controller=Controller(value_model=Meddling()))
    driven.step("SEARCH", film)
    decision = driven.decide()
    assert decision.features["rho"] == decision.pressure == pytest.approx(1 / 3)


def test_a_failing_cost_model_is_replaced(run):
    class Bad:
        name = "bad"

        def estimate(self, view, move):
            raise ValueError("no")

        def observe(self, move, usage):
            raise KeyError("no")

    driven = run(controller=Controller(cost_model=Bad()))
    assert driven.decide().options == run().decide().options
    driven.step("SEARCH")
    assert sum("bad" in warning for warning in driven.state.trace.steps[0].warnings) == 3  # two estimates, one observe


def test_running_median_takes_the_lower_middle_of_what_was_used(run, film, person):
    driven = run(budget="9/900")
    for number, used in enumerate((30, 10, 20)):
        driven.state.slots[0] = driven.state.slots[0].model_copy(update={"status": "filled"})
        driven.state.last_kind, driven.state.proposals_since_new, driven.state.num_proposals = "SEARCH", 0, 0
        action = driven.begin(driven.decide().model_copy(update={"kind": "DECOMPOSE", "move": Move(kind="DECOMPOSE")}))
        driven.observe(action, Observation(text=f"NEXT: {number}", usage=Usage(output_tokens=used)))
    assert driven.state.digest.expected["DECOMPOSE"].output_tokens == 20


def test_models_are_found_by_name_path_or_instance():
    assert find_value_model("heuristic").name == "heuristic"
    assert find_value_model("gainful.budget.value:ConstantValue").name == "constant"
    assert find_cost_model("priced").name == "priced"
    assert find_cost_model("gainful.budget.costs:PricedCost").name == "priced"
    with pytest.raises(ConfigError, match="module:attribute"):
        find_value_model("no_such_module:Model")
    with pytest.raises(UnknownNameError, match="heuristic"):
        find_value_model("heuristik")
    with pytest.raises(UnknownNameError, match="did you mean 'priced'"):
        find_cost_model("price")


def _view(driven, decision):
    from gainful.budget.choice import _view as view

    return view(driven.state, driven.state.ledger.left(0.0))
