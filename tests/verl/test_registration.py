import logging

import pytest
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.core_algos import get_adv_estimator_fn

from gainful.catalog import build_catalog, list_estimators
from gainful_verl import register as registration
from gainful_verl.adapt import as_verl

LOOK_UP = """
import verl
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
for name in ("agpo", "psr", "nsr", "w_reinforce"):
    print(name, get_adv_estimator_fn(name).__name__)
"""


def test_importing_verl_is_enough_for_its_own_look_up(fresh):
    status, output = fresh("-c", LOOK_UP)
    assert status == 0, output
    for name in ("agpo", "psr", "nsr", "w_reinforce"):
        assert f"{name} gainful_{name}" in output


def test_importing_us_before_verl_changes_nothing(fresh):
    status, output = fresh("-c", "import gainful_verl.autoload, gainful_verl.register" + LOOK_UP)
    assert status == 0, output
    assert "agpo gainful_agpo" in output
    assert "ERROR" not in output


def test_verls_switch_turns_us_off(fresh):
    status, output = fresh("-c", LOOK_UP, VERL_USE_EXTERNAL_PLUGINS="none")
    assert status == 1
    assert "Unknown advantage estimator simply: agpo" in output


def test_import_verl_alone_loads_neither_the_catalogue_nor_verls_algorithms(fresh):
    modules = ["gainful.catalog", "pluggy", "gainful_verl.register", "verl.trainer.ppo.core_algos", "hydra"]
    code = "import verl, sys; assert 'gainful_verl.autoload' in sys.modules"
    status, output = fresh("-c", f"{code}; print([name for name in {modules} if name in sys.modules])")
    assert (status, output.splitlines()[-1]) == (0, "[]")


def test_an_unsupported_verl_is_said_at_error_and_import_goes_on(fresh):
    code = (
        "from gainful import hosts; hosts.version = lambda name: '0.7.0'; "
        "import verl; from verl.trainer.ppo.core_algos import get_adv_estimator_fn; get_adv_estimator_fn('agpo')"
    )
    status, output = fresh("-c", code)
    assert status == 1
    assert "but 0.7.0 is installed; upgrade gainful or pin verl" in output
    assert "gainful is not available in verl" in output
    assert "Unknown advantage estimator simply: agpo" in output


def test_register_twice_changes_nothing():
    before = dict(core_algos.ADV_ESTIMATOR_REGISTRY)
    assert list(registration.register()) == [spec.name for spec in list_estimators()]
    assert before == core_algos.ADV_ESTIMATOR_REGISTRY


@pytest.fixture
def clean_registry(monkeypatch):
    """verl's table without our names, and a registration that has not happened."""
    ours = registration.registered()
    table = {name: fn for name, fn in core_algos.ADV_ESTIMATOR_REGISTRY.items() if name not in ours}
    monkeypatch.setattr(core_algos, "ADV_ESTIMATOR_REGISTRY", table)
    monkeypatch.setattr(registration, "_registered", {})
    return table


def test_a_name_that_verl_has_is_left_alone(clean_registry, caplog):
    taken = core_algos.register_adv_est("agpo")(lambda **_: None)
    registration.register()
    assert get_adv_estimator_fn("agpo") is taken
    assert get_adv_estimator_fn("gainful_agpo") is as_verl(registration.registered()["gainful_agpo"])
    assert "verl already has an estimator 'agpo'" in caplog.text


def test_a_failed_plugin_is_said_at_error_and_the_others_are_registered(clean_registry, caplog, monkeypatch):
    def register_advantages(register):
        raise RuntimeError("no licence")

    from types import ModuleType

    from gainful import hookimpl

    acme = ModuleType("acme")
    acme.register_advantages = hookimpl(register_advantages)
    monkeypatch.setattr(registration, "catalog", lambda: build_catalog([acme]))
    registration.register()
    assert "plug-in 'acme' failed in register_advantages: no licence" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    assert "agpo" in clean_registry


def test_doctor_asks_verl_in_a_fresh_interpreter(fresh):
    status, output = fresh("-m", "gainful", "doctor", "verl", COLUMNS="200")
    assert status == 0, output
    assert "algorithm.adv_estimator=agpo" in output
    status, output = fresh("-m", "gainful", "doctor", "verl", COLUMNS="200", VERL_USE_EXTERNAL_PLUGINS="none")
    assert status == 1
    assert "unset VERL_USE_EXTERNAL_PLUGINS" in output
