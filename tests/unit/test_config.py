from typing import Literal

import pytest
from pydantic import Field, ValidationError

from gainful.config import Options, from_mapping
from gainful.errors import ConfigError


class Knobs(Options):
    """For tests."""

    delta: float = Field(default=1.0, ge=0)
    """Unit, range."""
    kind: Literal["a", "b"] = "a"
    """Which."""


def read(section, **also):
    return from_mapping(Knobs, section, where="algorithm.gainful", owner="agpo", **also)


def test_nothing_gives_the_defaults_and_an_instance_is_itself():
    assert read(None) == read({}) == Knobs()
    ready = Knobs(delta=3)
    assert read(ready) is ready


def test_an_unknown_key_names_the_nearest_known_one():
    with pytest.raises(ConfigError) as caught:
        read({"dleta": 2}, also_known=["log_stats"])
    assert str(caught.value) == (
        "algorithm.gainful: unknown option 'dleta' for agpo; did you mean 'delta'? known: delta, kind, log_stats"
    )


def test_an_unknown_key_near_to_nothing_lists_what_is_known():
    with pytest.raises(ConfigError, match="unknown option 'zzz' for agpo; known: delta, kind$"):
        read({"zzz": 2})


def test_an_impossible_value_names_key_range_and_what_was_found():
    with pytest.raises(
        ConfigError, match=r"algorithm\.gainful\.delta: input should be greater than or equal to 0 .*got -1"
    ):
        read({"delta": -1})
    with pytest.raises(ConfigError, match=r"algorithm\.gainful\.kind: input should be 'a' or 'b' for agpo, got 'c'"):
        read({"kind": "c"})


def test_all_problems_are_named_at_once():
    with pytest.raises(ConfigError, match=r"delta.* \| .*unknown option 'x'"):
        read({"delta": "many", "x": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "one"])
def test_numbers_must_be_finite_numbers(value):
    with pytest.raises(ConfigError, match=r"algorithm\.gainful\.delta"):
        read({"delta": value})


def test_a_section_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match="options for agpo must be a mapping or Knobs, got list"):
        read([1])


def test_options_are_frozen_and_round_trip():
    knobs = Knobs(delta=2)
    with pytest.raises(ValidationError):
        knobs.delta = 3
    assert read(knobs.model_dump()) == knobs
