"""Every method of the comparison. A method sees the text of a question, the retriever and the model, nothing else."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import loops
from ablations import AblatedController
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from model import AT_LEAST, QUESTION_FIRST, TRACKER, SimulatedLLM
from pool import DEEPEST, PoolRetriever

from gainful.budget import Budget, ControllerConfig
from gainful.budget.actions import LLMRequest, Move
from gainful.budget.hashing import uniform
from gainful.budget.value import StateView, ValueEstimate
from gainful_llamaindex import BudgetedSearchQueryEngine, guard
from gainful_llamaindex.prompts import numbered

NEVER = -2.0
"""Values are clipped to [-1, 1], so with this threshold no search is turned down for its value."""


@dataclass(frozen=True)
class Setting:
    """What one cell of the grid is run with."""

    budget: Budget
    retriever: PoolRetriever
    llm: SimulatedLLM
    seed: int
    config: ControllerConfig
    knobs: Mapping[str, Any]
    """Of this method, as chosen on the tuning files."""


@dataclass(frozen=True)
class Outcome:
    """What a run committed. `prefixes` are the evidence ids before each answer that could have been given."""

    answer: str
    prefixes: tuple[tuple[str, ...], ...] = ()


Runner = Callable[[str], Awaitable[Outcome]]
Method = Callable[[Setting], Runner]


def _loop(loop: loops.Loop, **fixed: Any) -> Method:
    def make(setting: Setting) -> Runner:
        async def run(question: str) -> Outcome:
            desk = loops.Desk(question, setting.budget, setting.retriever, setting.llm)
            return Outcome(loop(desk, {"seed": setting.seed, **setting.knobs, **fixed}))

        return run

    return make


def _wide(setting: Setting) -> Runner:
    """One search that returns as many passages as all searches together."""
    passages = min(DEEPEST, setting.retriever.k * setting.budget.tool_calls)
    return _loop(loops.one_shot, passages=passages)(setting)


def _narrow(setting: Setting) -> Runner:
    return _loop(loops.one_shot, passages=setting.retriever.k)(setting)


def _guarded(cls: type, *, tracks: bool = False) -> Method:
    """A stock agent under `guard`, told by its system prompt what its knobs say."""

    def make(setting: Setting) -> Runner:
        knobs, limit = setting.knobs, setting.budget.tool_calls
        said = [AT_LEAST.format(number=knobs["at_least"])] if knobs["at_least"] else []
        said += [QUESTION_FIRST] if knobs["first"] == "question" else []
        llm = setting.llm.model_copy(update={"is_function_calling_model": cls is FunctionAgent})
        agent = cls(
            tools=[_search_tool(setting.retriever, limit if tracks else None)],
            llm=llm,
            system_prompt=" ".join(said) or None,
            streaming=False,
        )
        guarded = guard(agent, setting.budget, repeat_calls=knobs["repeat_calls"])

        async def run(question: str) -> Outcome:
            output = await guarded.run(question, max_iterations=40)
            return Outcome(output.response.content or "")

        return run

    return make


def _search_tool(retriever: PoolRetriever, limit: int | None) -> FunctionTool:
    async def search(query: str) -> str:
        """Search the corpus."""
        text = numbered(retriever.passages(query))
        tracker = TRACKER.format(left=(limit or 0) - len(retriever.log), limit=limit)
        return text if limit is None else f"{text}\n{tracker}"

    return FunctionTool.from_defaults(async_fn=search, name="search", description="Search the corpus.")


OnTrace = Callable[[str, list[dict[str, Any]]], None]


def controlled(
    value_model: Any = "heuristic",
    ablation: str = "",
    on_trace: OnTrace | None = None,
    prompts: Mapping[str, PromptTemplate] | None = None,
    **changes: Any,
) -> Method:
    """The shipped query engine with the tuned constants, some of them changed; `on_trace` sees (question, trace)."""

    def make(setting: Setting) -> Runner:
        config = ControllerConfig(**{**setting.config.model_dump(), **changes})
        engine = BudgetedSearchQueryEngine.from_defaults(
            budget=setting.budget,
            retriever=setting.retriever,
            llm=setting.llm,
            config=config,
            prompts=prompts,
            value_model=value_model(setting.seed) if callable(value_model) else value_model,
        )
        if ablation:
            engine.searcher.controller = AblatedController(config, ablation)

        async def run(question: str) -> Outcome:
            response = await engine.aquery(question)
            trace = response.metadata["trace"]
            if on_trace:
                on_trace(question, trace)
            return Outcome(str(response), _prefixes(trace))

        return run

    return make


def _prefixes(trace: list[dict[str, Any]]) -> tuple[tuple[str, ...], ...]:
    """Evidence after each search."""
    found: tuple[str, ...] = ()
    prefixes = []
    for record in trace:
        if record.get("action") == "SEARCH":
            found += tuple(record["new_evidence"])
            prefixes.append(found)
    return tuple(prefixes)


class RandomAction:
    """A baseline: one of the three kinds, drawn by hash, is worth 1 and the others nothing; the guards stay."""

    name = "random_action"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def request(self, view: StateView) -> LLMRequest | None:
        return None

    def value(self, view: StateView, move: Move, features: Mapping[str, float]) -> ValueEstimate:
        kinds = ("SEARCH", "DECOMPOSE", "ANSWER")
        drawn = kinds[int(3 * uniform(f"{self.seed}\n{view.question}\nrandom\n{view.step}"))]
        return ValueEstimate(delta=1.0 if move.kind == drawn else -1.0)


VOI = "VOI"
ORACLE = "oracle stop"
AGENTS = ("guarded FunctionAgent", "guarded ReActAgent")

METHODS: dict[str, Method] = {
    "one-shot RAG": _narrow,
    "one-shot RAG, k x B": _wide,
    "fixed-k": _loop(loops.searches),
    "guarded FunctionAgent": _guarded(FunctionAgent),
    "guarded ReActAgent": _guarded(ReActAgent),
    "BATS-like": _guarded(FunctionAgent, tracks=True),
    "BAVT-like": _loop(loops.tree),
    "spend-all": _loop(loops.searches, number=None),
    "random-guarded": controlled(RandomAction),
    "VOI, ratio": controlled(scoring="ratio"),
    "VOI, may claim DONE": controlled(prompts={"propose_prompt": PromptTemplate(loops.MAY_STOP)}),
    VOI: controlled(),
    ORACLE: controlled(min_utility=NEVER),
}

ABLATIONS: dict[str, Method] = {
    "no shadow price": controlled(shadow_price=0.0, shadow_price_max=0.0),
    "constant shadow price": controlled(ablation="constant price"),
    "pressure by mean": controlled(ablation="mean pressure"),
    "no division by d": controlled(ablation="no division"),
    "follow-up not bundled": controlled(bundle_followup=False),
    "guards off": controlled(ablation="no guards"),
    "tokens hidden": controlled(ablation="hide output_tokens"),
    "calls hidden": controlled(ablation="hide tool_calls"),
    "no free bridge query": controlled(ablation="no bridge"),
    "static plan": _loop(loops.static_plan),
}
"""Beside `VOI, ratio`, which is the ratio rule."""
