"""Our own methods, registered like anybody's. Importing this module imports no method and no torch."""

from importlib import import_module
from importlib.util import find_spec

from gainful.errors import MissingExtraError
from gainful.hookspecs import (
    RegisterAdvantage,
    RegisterCostModel,
    RegisterMatcher,
    RegisterStore,
    RegisterValueModel,
    hookimpl,
)

__all__ = [
    "COST_MODELS",
    "ESTIMATORS",
    "MATCHERS",
    "NOT_IMPLEMENTED",
    "STORES",
    "VALUE_MODELS",
    "register_advantages",
    "register_cost_models",
    "register_matchers",
    "register_stores",
    "register_value_models",
]

ESTIMATORS = (
    "agpo",
    "psr",
    "nsr",
    "w_reinforce",
    "ngrpo",
    "turn_credit",
    "info_gain",
    "bnpo",
    "a_grae",
    "canon_length",
    "adora",
    "turn_traj",
    "aspo_shape",
    "gigpo",
    "canon_entropy",
    "hdpo",
    "copo",
    "arm",
    "spae",
    "e_grpo",
)
"""Each is a module of `gainful.advantage` with a function of its name, which says the rest in `REGISTRATION`."""


NOT_IMPLEMENTED = {
    "drpo": "arXiv 2510.04474: its loss compares the responses of a group, and verl tells a loss no group ids",
    "r2vpo": "arXiv 2601.03320: its objective is not confirmed by a source we could read",
    "dagrpo": "arXiv 2512.06337: its formula is not confirmed by a source we could read",
}
"""Methods that are often asked for: their source, and why they are not here."""


@hookimpl
def register_advantages(register: RegisterAdvantage) -> None:
    """Offer the estimators of `gainful.advantage`."""
    if find_spec("torch") is None:
        raise MissingExtraError(
            "advantage estimators need torch, which comes with the host; pip install 'gainful[verl]'"
        )
    for name in ESTIMATORS:
        module = import_module(f"gainful.advantage.{name}")
        register(name, getattr(module, name), **module.REGISTRATION)


VALUE_MODELS = (
    ("heuristic", "HeuristicValue", "NoOptions", "arXiv 2605.05701; terms and constants are ours"),
    ("critic", "CriticValue", "NoOptions", "arXiv 2605.05701; how the critic counts is ours"),
    ("constant", "ConstantValue", "ConstantOptions", "ours, a baseline"),
    ("random", "RandomValue", "RandomOptions", "ours, a baseline"),
)
"""Name, class, options and source; all stand in `gainful.budget.value`."""


@hookimpl
def register_value_models(register: RegisterValueModel) -> None:
    """Offer the value models of `gainful.budget`."""
    module = import_module("gainful.budget.value")
    for name, model, options, source in VALUE_MODELS:
        register(name, getattr(module, model), config=getattr(module, options), source=source)


COST_MODELS = (
    ("running_median", "RunningMedianCost", "ours"),
    ("priced", "PricedCost", "ours"),
)
"""Name, class and source; all stand in `gainful.budget.costs`, and have no options."""


@hookimpl
def register_cost_models(register: RegisterCostModel) -> None:
    """Offer the cost models of `gainful.budget`."""
    module = import_module("gainful.budget.costs")
    options = import_module("gainful.budget.value").NoOptions
    for name, model, source in COST_MODELS:
        register(name, getattr(module, model), config=options, source=source)


MATCHERS = (
    ("normalized", "judges", "normalized", "ours", None),
    ("containment", "judges", "containment", "ours", None),
    ("nli", "nli", "NliCrossEncoderJudge", "bidirectional entailment, arXiv 2302.09664", "nli"),
    ("openai", "llm_judge", "OpenAICompatibleJudge", "ours", None),
)
"""Name, module of `gainful.infogain`, factory, source and extra."""


@hookimpl
def register_matchers(register: RegisterMatcher) -> None:
    """Offer the judges of `gainful.infogain`."""
    for name, module, factory, source, extra in MATCHERS:
        register(name, getattr(import_module(f"gainful.infogain.{module}"), factory), source=source, extra=extra)


STORES = (
    (("file",), "file", "FileOptions", "open_file", None),
    (("memory",), "memory", "MemoryOptions", "open_memory", None),
    (("redis", "rediss"), "redis", "RedisOptions", "open_redis", "redis"),
    (("s3", "gs", "az", "http", "https"), "s3", "ObjectOptions", "open_object_store", "object-store"),
)
"""URL schemes, module of `gainful.sparkv.stores`, options, opener in its `url`, and extra."""


@hookimpl
def register_stores(register: RegisterStore) -> None:
    """Offer the stores of `gainful.sparkv`; clients of servers are imported when such a store is opened."""
    url = import_module("gainful.sparkv.stores.url")
    for schemes, module, options, opener, extra in STORES:
        config = getattr(import_module(f"gainful.sparkv.stores.{module}"), options)
        for scheme in schemes:
            register(scheme, getattr(url, opener), config=config, extra=extra)
