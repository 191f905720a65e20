import sys
from types import ModuleType

import pytest

from gainful import build_catalog, hookimpl, list_estimators
from gainful.catalog import catalog
from gainful.config import Options
from gainful.errors import DuplicateNameError, MissingExtraError, PluginError, UnknownNameError


class Knobs(Options):
    """No options."""


def method(rewards, response_mask, group_ids, *, config):
    """A method of nobody."""


def plugin(name, **hooks):
    """A plug-in module with these hook functions."""
    module = ModuleType(name)
    for hook, function in hooks.items():
        setattr(module, hook, hookimpl(function))
    return module


def offering(module, *names):
    def register_advantages(register):
        for name in names:
            register(name, method, config=Knobs, source="nowhere")

    return plugin(module, register_advantages=register_advantages)


def only_failure(found):
    assert len(found.failures) == 1, [str(failure) for failure in found.failures]
    return found.failures[0]


def test_our_methods_come_in_through_the_entry_point():
    assert [spec.name for spec in list_estimators()][:4] == ["agpo", "psr", "nsr", "w_reinforce"]
    assert catalog().plugins[0].module == "gainful.builtin"
    assert catalog() is catalog()


def test_a_plugin_given_by_hand_is_listed_after_ours():
    found = build_catalog([offering("acme", "acme_one")])
    assert list(found.advantages)[-1] == "acme_one"
    assert found.advantage("acme_one").plugin == "acme"
    assert not found.failures


def test_tables_are_read_only():
    with pytest.raises(TypeError):
        catalog().advantages["agpo"] = None


def test_unknown_names_list_the_known_ones_and_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"unknown advantage estimator 'agop'; did you mean 'agpo'\?; known: agpo,"
    ):
        catalog().advantage("agop")
    for look_up, kind in (("matcher", "matcher"), ("value_model", "value model"), ("store", "store")):
        with pytest.raises(UnknownNameError, match=f"unknown {kind} 'x'; known: "):
            getattr(catalog(), look_up)("x")


def test_unknown_names_mention_plugins_that_failed():
    def register_advantages(register):
        raise ImportError("No module named 'acme_rl'")

    found = build_catalog([plugin("acme", register_advantages=register_advantages)])
    with pytest.raises(
        UnknownNameError, match="plug-in 'acme' failed in register_advantages: No module named 'acme_rl'"
    ):
        found.advantage("acme_gae")


def test_a_failing_hook_leaves_nothing_behind_and_takes_nothing_else_down():
    def register_advantages(register):
        register("acme_half", method, config=Knobs, source="nowhere")
        raise RuntimeError("half way")

    def register_matchers(register):
        register("acme_exact", method, source="nowhere")

    broken = plugin("acme", register_advantages=register_advantages, register_matchers=register_matchers)
    found = build_catalog([broken, offering("other", "other_one")])
    assert "acme_half" not in found.advantages
    assert {"agpo", "other_one"} <= set(found.advantages)
    assert "acme_exact" in found.matchers  # its other hooks still count
    failure = only_failure(found)
    assert (failure.plugin, failure.hook, str(failure.error)) == ("acme", "register_advantages", "half way")


def test_a_plugin_that_exits_while_registering_is_a_failure_too():
    found = build_catalog([plugin("acme", register_stores=lambda register: sys.exit(3))])
    assert isinstance(only_failure(found).error, SystemExit)


def test_a_duplicate_name_names_both_modules_and_the_first_stays():
    found = build_catalog([offering("acme", "agpo")])
    failure = only_failure(found)
    assert isinstance(failure.error, DuplicateNameError)
    assert "'agpo' is registered by gainful.advantage.agpo (plug-in 'builtin')" in str(failure.error)
    assert "test_catalog" in str(failure.error)
    assert found.advantage("agpo").plugin == "builtin"


def test_one_plugin_may_not_register_a_name_twice():
    assert isinstance(only_failure(build_catalog([offering("acme", "twice", "twice")])).error, DuplicateNameError)


def test_two_plugins_of_one_name_are_not_skipped_in_silence():
    found = build_catalog([offering("acme", "acme_one"), offering("acme", "acme_two")])
    assert "plug-in name 'acme' is claimed by acme and by acme" in str(only_failure(found).error)
    assert "acme_two" not in found.advantages


def test_a_misspelt_hook_names_the_hook_that_was_meant():
    found = build_catalog([plugin("acme", register_advantage=lambda register: None), offering("other", "other_one")])
    failure = only_failure(found)
    assert isinstance(failure.error, PluginError)
    assert "unknown hook 'register_advantage'; did you mean 'register_advantages'?" in str(failure.error)
    assert "other_one" in found.advantages


def test_a_hook_with_other_arguments_is_refused_with_its_signature():
    found = build_catalog([plugin("acme", register_advantages=lambda registry: None)])
    assert isinstance(only_failure(found).error, PluginError)
    assert "registry" in str(only_failure(found).error)


@pytest.mark.parametrize("name", ["Agpo", "a-b", "", "1st", "x y", 7])
def test_names_that_nobody_could_select_are_refused(name):
    assert "name must be lower case letters" in str(only_failure(build_catalog([offering("acme", name)])).error)


def test_wrong_arguments_of_register_are_refused():
    def no_config(register):
        register("acme_one", method, config=dict, source="nowhere")

    def no_function(register):
        register("acme_one", "agpo", config=Knobs, source="nowhere")

    def no_source(register):
        register("acme_one", method, config=Knobs)

    for hook, message in (
        (no_config, "subclass of gainful.config.Options"),
        (no_function, "callable"),
        (no_source, "source"),
    ):
        assert message in str(only_failure(build_catalog([plugin("acme", register_advantages=hook)])).error)


def test_disabled_plugins_are_left_out_and_said_to_be(monkeypatch):
    monkeypatch.setenv("GAINFUL_DISABLE", "acme, builtin")
    found = build_catalog([offering("acme", "acme_one"), offering("other", "other_one")])
    assert list(found.advantages) == ["other_one"]
    with pytest.raises(UnknownNameError, match="switched off by GAINFUL_DISABLE: builtin, acme"):
        found.advantage("agpo")


def test_without_torch_our_estimators_name_the_extra(monkeypatch):
    monkeypatch.setattr("gainful.builtin.find_spec", lambda name: None)
    failure = only_failure(build_catalog())
    assert isinstance(failure.error, MissingExtraError)
    assert "pip install 'gainful[verl]'" in str(failure)
