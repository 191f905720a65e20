"""Every registered value model may spoil the choice, never the limits; a third party's comes in like ours."""

import pytest

from gainful.budget import Controller, HeuristicValue, PriceTable, StateView, ValueEstimate
from gainful.budget.costs import RunningMedianCost
from gainful.budget.hostile import Hostility, broken_limits, drive, random_budget, random_question, seeded
from gainful.budget.value import NoOptions
from gainful.catalog import build_catalog, catalog
from gainful.config import Options
from gainful.errors import UnknownNameError
from gainful.hookspecs import hookimpl

PRICES = PriceTable(input=1, output=2)


class AcmeOptions(Options):
    """What a third party's model can be told."""

    liking: float = 0.25
    """Value of any search."""


class AcmeValue(HeuristicValue):
    """A third party's model: likes searches, asks nobody."""

    name = "acme_value"

    def __init__(self, options: AcmeOptions) -> None:
        self._liking = options.liking

    def value(self, view: StateView, move, features) -> ValueEstimate:
        return ValueEstimate(delta=self._liking if move.kind == "SEARCH" else 0.0)


class AcmePlugin:
    """What stands in a third party's module."""

    @hookimpl
    def register_value_models(self, register):
        register("acme_value", AcmeValue, config=AcmeOptions, source="Acme's handbook")


class Copycat:
    @hookimpl
    def register_value_models(self, register):
        register("heuristic", AcmeValue, config=AcmeOptions, source="Acme's handbook")


def test_a_third_partys_model_comes_in_like_ours():
    spec = build_catalog(plugins=[AcmePlugin()]).value_model("acme_value")
    model = spec.factory(spec.config_cls(liking=0.5))
    controller = Controller(value_model=model)
    state = controller.start("Who directed Solaris?", "2/300", 0.0)
    assert controller.decide(state, 0.0).options[0].u == 0.5
    assert state.trace.records[0].value_model == "acme_value"


def test_an_installed_plug_in_is_found_by_name(with_acme):
    code = (
        "from gainful.budget import Controller;"
        "c = Controller(value_model='acme_frugal');"
        "s = c.start('Who directed Solaris?', '2/300', 0.0);"
        "print(c.decide(s, 0.0).options[0].delta, s.trace.records[0].value_model)"
    )
    status, said = with_acme("-c", code)
    assert (status, said.split()) == (0, ["0.5", "acme_frugal"])


class AcmeCost(RunningMedianCost):
    """A third party's cost model."""

    name = "acme_cost"


class AcmeCostPlugin:
    @hookimpl
    def register_cost_models(self, register):
        register("acme_cost", AcmeCost, config=NoOptions, source="Acme's handbook")


def test_cost_models_come_in_the_same_way():
    assert set(catalog().cost_models) == {"running_median", "priced"}
    spec = build_catalog(plugins=[AcmeCostPlugin()]).cost_model("acme_cost")
    controller = Controller(cost_model=spec.factory(spec.config_cls()))
    state = controller.start("Who directed Solaris?", "2/300", 0.0)
    assert state.trace.records[0].cost_model == "acme_cost"
    with pytest.raises(UnknownNameError, match="did you mean 'priced'"):
        Controller(cost_model="pricd")


def test_a_name_owned_twice_is_an_error_that_names_both():
    [failure] = build_catalog(plugins=[Copycat()]).failures
    assert "gainful.budget.value" in str(failure)
    assert AcmeValue.__module__ in str(failure)


@pytest.mark.parametrize("name", catalog().value_models)
def test_no_model_breaks_a_limit(name):
    spec = catalog().value_model(name)
    assert spec.source
    controller = Controller(value_model=name, prices=PRICES)
    for seed in range(30):
        draw = seeded(seed)
        ran = drive(controller, random_question(draw), random_budget(draw), draw, Hostility(), lambda state: None)
        assert broken_limits(ran) == []
        assert ran.report.answer
