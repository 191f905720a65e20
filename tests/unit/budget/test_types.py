"""Budgets, prices, reports of usage."""

import math

import pytest
from pydantic import ValidationError

from gainful.budget import Budget, ControllerConfig, Cost, PriceTable, Usage
from gainful.budget.config import origins
from gainful.errors import ConfigError


def test_the_short_form_is_tool_calls_and_output_tokens():
    assert Budget.parse(" 2 / 300") == Budget(tool_calls=2, output_tokens=300)
    assert Budget.parse({"seconds": 3}).seconds == 3
    assert Budget.parse(Budget.level("high")) == Budget(tool_calls=3, output_tokens=500)


@pytest.mark.parametrize(
    ("name", "calls", "tokens"), [("low", 1, 100), ("low_mid", 2, 200), ("high_mid", 2, 300), ("high", 3, 500)]
)
def test_the_papers_levels(name, calls, tokens):
    assert Budget.parse(name) == Budget.level(name) == Budget(tool_calls=calls, output_tokens=tokens)


@pytest.mark.parametrize("text", ["2/", "-1/300", "2/300/4", "two/300", "1e3/4", "²/300"])
def test_a_budget_that_is_no_budget_is_refused(text):
    with pytest.raises(ConfigError, match="'2/300'"):
        Budget.parse(text)


def test_an_unknown_level_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'high_mid'"):
        Budget.level("high-mid")


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(ValidationError, match="at least one limit"):
        Budget()


@pytest.mark.parametrize("limits", [{"tool_calls": -1}, {"seconds": math.nan}, {"per_tool": {"a": -1}}, {"tokens": 3}])
def test_an_impossible_limit_is_refused(limits):
    with pytest.raises(ValidationError):
        Budget(**limits)


def test_a_budget_is_frozen():
    with pytest.raises(ValidationError):
        Budget(tool_calls=1).tool_calls = 2


def test_limits_are_integers_in_micro_units():
    limits = Budget(seconds=1.5, money=0.25, tool_calls=2, per_tool={"web": 1}).limits()
    assert limits == {"tool_calls": 2, "seconds": 1_500_000, "money": 250_000, "tool:web": 1}


def test_price_of_a_call_by_hand():
    prices = PriceTable(input=0.5, output=2, cached_input=0.1, per_tool={"web": 0.003})
    amounts = {"input_tokens": 1001, "output_tokens": 10, "tool:web": 2, "tool:free": 9}
    # 801 * 0.5 = 400.5 -> 401; 200 * 0.1 = 20; 10 * 2 = 20; 2 * 0.003 * 1e6 = 6000
    assert prices.micros(amounts, cached_tokens=200) == 401 + 20 + 20 + 6000
    # more cached than sent is a wrong report: all 1001 count as cached, 100.1 -> 101
    assert prices.micros(amounts, cached_tokens=5000) == 101 + 20 + 6000


@pytest.mark.parametrize("report", [-1, math.nan, math.inf, "12", None, True, 10**30, 10**400, [3]])
def test_an_impossible_report_is_unknown(report):
    usage = Usage(output_tokens=report, input_tokens=report, tool_calls=report, money=report)
    assert usage == Usage()


def test_reports_are_read_in_whole_tokens():
    assert Usage(output_tokens=2.5, money=1).output_tokens == 3


def test_cost_of_a_tool_call():
    assert Cost.of_tool("web", seconds=2).amounts() == {"tool_calls": 1, "seconds": 2_000_000, "tool:web": 1}
    with pytest.raises(ValidationError):
        Cost(output_tokens=-1)


def test_every_constant_has_an_origin():
    assert set(origins()) == set(ControllerConfig.model_fields)


def test_the_config_hash_names_the_constants():
    assert ControllerConfig().config_hash == ControllerConfig().config_hash
    assert ControllerConfig(min_utility=0.03).config_hash != ControllerConfig().config_hash
