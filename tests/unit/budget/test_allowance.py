"""What a caller of a shared service gets of what it asks for."""

import pytest
from hypothesis import given
from hypothesis.strategies import fixed_dictionaries, floats, integers
from pydantic import ValidationError

from gainful.budget import Allowance, Budget
from gainful.errors import ConfigError

ALLOWANCE = Allowance(
    default=Budget(tool_calls=2, output_tokens=300),
    maximum=Budget(tool_calls=5, output_tokens=1000, seconds=60, per_tool={"web": 1}),
)


def test_each_axis_is_what_is_asked_else_the_default_else_the_maximum():
    granted = ALLOWANCE.grant({"output_tokens": 500})
    assert granted == Budget(tool_calls=2, output_tokens=500, seconds=60, per_tool={"web": 1})


@pytest.mark.parametrize("nothing", [None, {}])
def test_who_asks_for_nothing_gets_the_default_within_the_maximum(nothing):
    assert ALLOWANCE.grant(nothing) == Budget(tool_calls=2, output_tokens=300, seconds=60, per_tool={"web": 1})


def test_zero_is_an_amount():
    assert ALLOWANCE.grant("0/0").limits()["tool_calls"] == ALLOWANCE.grant("0/0").limits()["output_tokens"] == 0


def test_the_maximum_itself_can_be_had():
    assert ALLOWANCE.grant(ALLOWANCE.maximum) == ALLOWANCE.maximum


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("6/300", "tool_calls must be at most 5, got 6"),
        ({"seconds": 60.001}, "seconds must be at most 60, got 60.001"),
        ({"per_tool": {"web": 2}}, "tool:web must be at most 1, got 2"),
        ({"money": 1}, "money is not offered; can be limited here: tool_calls, output_tokens, seconds, tool:web"),
        ({"per_tool": {"mail": 1}}, "tool:mail is not offered"),
        ({"tool_calls": -1}, "budget.tool_calls: "),
        ({"seconds": float("nan")}, "budget.seconds: "),
        ({"tokens": 3}, "budget.tokens: "),
        ("two", "unknown level 'two'"),
        ("9" * 5000 + "/1", "'2/300'"),
    ],
)
def test_what_cannot_be_granted_is_refused_and_says_why(asked, message):
    with pytest.raises(ConfigError, match=message):
        ALLOWANCE.grant(asked)


def test_a_caller_chooses_how_its_run_ends():
    assert ALLOWANCE.grant({"tool_calls": 1, "on_exhausted": "raise", "answer_reserve": 9}).answer_reserve == 9


def test_a_default_above_the_maximum_is_refused_at_once():
    with pytest.raises(ValidationError, match="output_tokens must be at most 100, got 300"):
        Allowance(default=Budget.parse("2/300"), maximum=Budget.parse("2/100"))


wishes = fixed_dictionaries(
    {}, optional={"tool_calls": integers(0, 9), "output_tokens": integers(0, 2000), "seconds": floats(0, 120)}
)


@given(wishes)
def test_whatever_is_asked_no_limit_is_above_the_maximum_and_none_is_missing(asked):
    try:
        limits = ALLOWANCE.grant(asked).limits()
    except ConfigError:
        assert any(Budget(**asked).limits()[axis] > ALLOWANCE.maximum.limits()[axis] for axis in asked)
        return
    assert limits.keys() == ALLOWANCE.maximum.limits().keys()
    assert all(limits[axis] <= most for axis, most in ALLOWANCE.maximum.limits().items())
    assert all(limits[axis] == Budget(**asked).limits()[axis] for axis in asked)
