"""Options name what is wrong; presets stand where nothing else was set."""

import pytest

from gainful.errors import ConfigError
from gainful.infogain import PRESETS, GainOptions, read_options


def read(**section):
    return read_options(section, where="algorithm.gainful")


def test_defaults():
    options = read_options(None, where="x")
    assert (options.kind, options.weight, options.form, options.weights) == ("mass", 0.6, "turn", "uniform")
    assert (options.match.direction, options.match.soft, options.match.aliases) == ("both", False, "any")
    assert options.judge.type == "normalized"
    assert options.cluster.linkage == "complete"
    assert read_options(options, where="x") is options


def test_the_served_preset():
    options = read(preset="inforeasoner_served")
    assert (options.kind, options.form, options.weight, options.samples) == ("mass", "trajectory_sum", 0.6, 10)
    assert (options.match.soft, options.match.direction, options.match.aliases) == (True, "either", "max")
    assert options.weights == "mean_logprob"
    assert (options.judge.type, options.judge.exact_shortcut) == ("nli", False)


def test_what_is_set_wins_over_the_preset_and_leaves_the_rest_of_it():
    options = read(preset="inforeasoner_served", judge={"type": "normalized"}, weight=0.2)
    assert (options.judge.type, options.weight) == ("normalized", 0.2)
    assert options.judge.exact_shortcut is False


def test_the_page_preset():
    options = read(preset="inforeasoner_page")
    assert (options.kind, options.form, options.increments) == ("log", "trajectory_mean", "fixed")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_known_name_and_changes_the_hash(name):
    assert read(preset=name).config_hash != GainOptions().config_hash


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"knid": "mass"}, "unknown option 'knid' for information gain; did you mean 'kind'"),
        ({"judge": {"treshold": 0.5}}, "unknown option 'judge.treshold'.*did you mean 'judge.threshold'"),
        ({"kind": "entropy"}, "algorithm.gainful.kind: input should be 'shannon'"),
        ({"weight": -1}, "weight"),
        ({"weight": float("nan")}, "weight"),
        ({"samples": 1}, "samples"),
        ({"samples": 65}, "samples"),
        ({"judge": {"threshold": 1.0}}, "judge.threshold"),
        ({"increments": "fixed"}, "take a trajectory form"),
        ({"preset": "inforeasoner"}, "preset"),
        ({"preset": ["x"]}, "preset"),
        ({"preset": "inforeasoner_served", "judge": 3}, "judge"),
        ({"probe": {"endpoint_url": "http://x"}}, "needs probe.endpoint_model"),
        ({"kind": "likelihood", "probe": {"endpoint_url": "http://x", "endpoint_model": "m"}}, "needs gold_logprob"),
    ],
)
def test_mistakes_are_named(section, message):
    with pytest.raises(ConfigError, match=message):
        read(**section)


def test_options_that_are_no_mapping_are_refused():
    with pytest.raises(ConfigError, match="must be a mapping"):
        read_options([1], where="x")


def test_the_hash_changes_with_what_changes_results_and_with_nothing_else():
    same = [read(), read(judge={"timeout_s": 1.0, "batch_size": 1, "device": "cuda", "cache_path": "x"})]
    other = [read(kind="gini"), read(judge={"threshold": 0.6}), read(probe={"suffix": "x"}), read(weight=0.0)]
    assert len({options.config_hash for options in same}) == 1
    assert len({options.config_hash for options in [*same, *other]}) == 1 + len(other)
