"""The methods as what they ask of an engine: plain prefill, loads, splits, and two pointers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from settings import Condition, Setup

EngineName = Literal["chunked", "whole", "int8"]
ENGINES: Mapping[EngineName, str] = {
    "chunked": "short steps, prefix caching, our scheduler class",
    "whole": "a prompt is one step, vLLM's own scheduler",
    "int8": "as chunked, chunks stored as int8",
}


@dataclass(frozen=True)
class Choice:
    """What was planned before a condition's first run, from fitted models; nobody may change it later."""

    streams_all: bool
    """The faster single route is the load."""
    prefix_tokens: int
    """Best prefix to stream while the rest of the prompt is one step."""


@dataclass(frozen=True)
class Method:
    """One row of the tables."""

    name: str
    engine: EngineName
    what: str
    color: str
    exact: bool = True
    """Stored bytes are the cache's own."""
    needs_end: bool = False
    """Waits for a dead link until its deadline, so it is not run in an outage."""

    def params(self, choice: Choice, all_tokens: int) -> dict[str, Any]:
        """`kv_transfer_params["sparkv"]`."""
        load = {"mode": "async_prefix", "stream_tokens": all_tokens, "use_plan": False}
        asked: dict[str, dict[str, Any]] = {
            PREFILL: {"mode": "compute"},
            ONE_STEP: {"mode": "compute"},
            STREAM: load,
            STREAM_INT8: load,
            CHOOSER: load if choice.streams_all else {"mode": "compute"},
            SPLIT: {"mode": "layerwise", "stream_tokens": choice.prefix_tokens, "use_plan": False},
            RACE: {"mode": "two_pointer", "use_plan": False},
            OURS: {"mode": "two_pointer", "use_plan": True},
            OURS_INT8: {"mode": "two_pointer", "use_plan": True},
        }
        return {**asked[self.name], "save": False}


PREFILL, ONE_STEP = "prefill", "prefill, one step"
STREAM, STREAM_INT8 = "stream all", "stream all, int8"
CHOOSER, SPLIT, RACE = "chooser", "static split", "race without a model"
OURS, OURS_INT8 = "SparKV", "SparKV, int8"

METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method(PREFILL, "chunked", "plain prefill in steps", "#8a8f98"),
        Method(ONE_STEP, "whole", "plain prefill of the prompt in one step", "#6b7280"),
        Method(STREAM, "chunked", "all from the store, every bit", "#d07a1c", needs_end=True),
        Method(STREAM_INT8, "int8", "all from the store as int8, as CacheGen does", "#b5487d", False, needs_end=True),
        Method(
            CHOOSER, "chunked", "plain prefill or all from the store, whichever was predicted to be faster", "#8a7fd0"
        ),
        Method(
            SPLIT, "whole", "a planned prefix is streamed layer by layer beside the rest", "#2a9d6f", needs_end=True
        ),
        Method(RACE, "chunked", "two pointers without a cost model, as Cake does", "#a88a14"),
        Method(OURS, "chunked", "two pointers, admitted by the cost model", "#2f80e0"),
        Method(OURS_INT8, "int8", "the same with int8 chunks", "#5566cc", False),
    )
}


def methods_of(setup: Setup, condition: Condition) -> list[Method]:
    """Those that can be run under a condition."""
    methods = [METHODS[name] for name in setup.methods]
    return [method for method in methods if not (method.needs_end and condition.factor == 0.0)]


def planned(setup: Setup) -> set[tuple[str, str, int]]:
    """Condition, method and number of every run."""
    return {
        (condition.name, method.name, repeat)
        for condition in setup.conditions
        for method in methods_of(setup, condition)
        for repeat in range(setup.repeats)
    }
