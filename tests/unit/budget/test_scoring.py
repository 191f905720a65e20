"""Pressure, shadow price, penalty, denominator, by hand."""

import pytest

from gainful.budget import ControllerConfig
from gainful.budget.features import SUPPORT_FEATURES, chance_of_support
from gainful.budget.scoring import denominator, penalty, pressure, shadow_price, shares_left

CONFIG = ControllerConfig(
    shadow_price=0.15, support_bias=-2.0, support_weights=(1.6, 0.8, 0.8, 0.4, 1.2, 0.4), single_factor_below=0.3
)


def test_pressure_is_decided_by_the_scarcer_axis():
    shares = shares_left({"tool_calls": 1, "output_tokens": 240}, {"tool_calls": 2, "output_tokens": 300})
    assert shares == {"tool_calls": 0.5, "output_tokens": 0.8}
    assert pressure(shares.values()) == 0.5


def test_pressure_is_full_for_a_limit_of_zero_and_after_an_overrun():
    assert pressure(shares_left({"llm_calls": 0}, {"llm_calls": 0}).values()) == 1
    assert pressure(shares_left({"output_tokens": -40}, {"output_tokens": 100}).values()) == 1
    assert pressure([]) == 0


@pytest.mark.parametrize(
    ("rho", "price"),
    # 0.15 * (1 / (1 - rho) - 1), at most 1
    [(0.0, 0.0), (0.5, 0.15), (0.75, 0.45), (0.8, 0.6), (0.9, 1.0), (1.0, 1.0)],
)
def test_shadow_price(rho, price):
    assert shadow_price(rho, CONFIG) == pytest.approx(price)


def test_a_steeper_price():
    config = ControllerConfig(shadow_price=0.1, shadow_power=2.0)
    assert shadow_price(0.5, config) == pytest.approx(0.1 * (4 - 1))
    assert shadow_price(1 - 1e-300, ControllerConfig(shadow_power=50)) == 1.0  # the power overflows


def test_the_penalty_divides_by_initial_limits_and_takes_the_scarce_axis():
    cost = {"tool_calls": 1, "output_tokens": 30, "llm_calls": 5}
    limits = {"tool_calls": 4, "output_tokens": 300}
    assert penalty(0.4, cost, limits) == pytest.approx(0.4 * 0.25)
    assert penalty(0.4, {}, limits) == 0
    assert penalty(0.4, cost, {"tool_calls": 0}) == pytest.approx(0.4)


def test_the_denominator_adds_a_part_of_the_other_axes():
    cost = {"tool_calls": 1, "output_tokens": 51}
    left, held = {"tool_calls": 2, "output_tokens": 300, "seconds": 10}, {"output_tokens": 45}
    # 1/2, 51/255 = 0.2, 0: 0.5 + 0.25 * (0.2 + 0) / 2
    assert denominator(cost, left, held, CONFIG) == pytest.approx(0.525)


def test_the_last_call_costs_one():
    assert denominator({"tool_calls": 1}, {"tool_calls": 1}, {}, CONFIG) == 1
    assert denominator({"output_tokens": 9}, {"output_tokens": 45}, {"output_tokens": 45}, CONFIG) == 1
    assert denominator({}, {}, {}, CONFIG) == 0


def test_chance_of_support_by_hand():
    nothing = dict.fromkeys(SUPPORT_FEATURES, 0.0)
    assert chance_of_support(nothing, CONFIG) == pytest.approx(0.1192, abs=1e-4)  # sigmoid(-2)
    some = {**nothing, "slots_filled": 0.5, "type_match": 1.0, "done_claim": 1.0}
    assert chance_of_support(some, CONFIG) == pytest.approx(0.5987, abs=1e-4)  # sigmoid(-2 + 0.8 + 0.4 + 1.2)
    everything = dict.fromkeys(SUPPORT_FEATURES, 1.0)
    assert chance_of_support(everything, CONFIG) == pytest.approx(0.9608, abs=1e-4)  # sigmoid(3.2)
