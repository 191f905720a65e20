"""`guard(agent, budget)`: hard limits for an agent you already have. It keeps its own loop; we only end it in time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import new_class
from typing import Any, Literal

from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.tools import BaseTool

from gainful.budget import Budget, Ledger, PriceTable
from gainful_llamaindex.agent import BudgetedSearchAgent
from gainful_llamaindex.clients import Clients
from gainful_llamaindex.errors import UnsupportedAgentError
from gainful_llamaindex.guarded import Guarded
from gainful_llamaindex.run_state import store_key
from gainful_llamaindex.sealed import seal
from gainful_llamaindex.token_caps import TokenCap, check_llm
from gainful_llamaindex.tools import BudgetedTool, BudgetedTools, NoticeTool
from gainful_llamaindex.versions import warn_of_known_problems

__all__ = ["GuardSettings", "guard", "guard_workflow"]

DEFAULT_NOTICE = (
    "The budget of this run is spent: no further tool can be called. Answer the question now, shortly, from what the "
    "tools returned so far."
)


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What one `guard()` call was asked for."""

    budget: Budget
    key: str
    """Under which the run is stored in the context; without dots, which the store takes for paths."""
    repeat_calls: Literal["allow", "refuse", "cached"]
    free_tools: frozenset[str]
    token_cap: TokenCap | None
    prices: PriceTable | None
    notice: str | None
    clients: Clients = field(default_factory=Clients, compare=False)


def guard(
    agent: BaseWorkflowAgent,
    budget: Budget | str | Mapping[str, Any],
    *,
    repeat_calls: Literal["allow", "refuse", "cached"] = "allow",
    free_tools: Iterable[str] = ("handoff",),
    token_cap: TokenCap | None = None,
    prices: PriceTable | None = None,
    on_exhausted: Literal["answer", "raise"] | None = None,
    notice: str | None = DEFAULT_NOTICE,
) -> Any:
    """A copy of `agent` that cannot spend more than `budget` in a run. The agent itself is not changed.

    The copy is an instance of the agent's own class, so it goes wherever the agent goes, an `AgentWorkflow` included.
    It makes no extra model call. When an ordinary step would no longer fit, the agent is asked for its answer without
    tools; what it is then sent is held back from the start. An agent that calls a model more than once in a step is
    beyond us: each call gets the cap of the step.

    Args:
        agent: A `FunctionAgent`, a `ReActAgent`, or another agent that obeys the `tools` argument of `take_step`.
        budget: Limits of one run: `"2/300"` (tool calls / output tokens), a level such as `"high_mid"`, or a `Budget`.
        repeat_calls: For a call with the same name and arguments as an earlier one: allow it, refuse it with a
            message, or answer it from the earlier result, which costs no call.
        free_tools: Names of tools that cost nothing; `handoff` is the host's own.
        token_cap: For a language model that we do not know: its field, or a function (llm, max_tokens) -> capped copy.
        prices: Needed for a limit on money.
        on_exhausted: Give the answer, or raise `BudgetExceededError` instead; None leaves it to the budget.
        notice: Told to the model together with the question when no more tools can be called; None says nothing.

    Raises:
        UnsupportedAgentError: The agent is guarded already, is a `CodeActAgent`, or has structured output.
        UnsupportedLLMError: We cannot cap the output of its language model.
        ConfigError: The budget is none.
    """
    warn_of_known_problems()
    settings = GuardSettings(
        budget=_with_ending(Budget.parse(budget), on_exhausted),
        key=store_key("guard", getattr(agent, "name", "")),
        repeat_calls=repeat_calls,
        free_tools=frozenset(free_tools),
        token_cap=token_cap,
        prices=prices,
        notice=notice,
    )
    return _guarded(agent, settings)


def guard_workflow(workflow: AgentWorkflow, budget: Budget | str | Mapping[str, Any], **options: Any) -> AgentWorkflow:
    """A copy of `workflow` whose agents share one budget a run. Options are those of `guard`.

    Raises:
        UnsupportedAgentError: As in `guard`, or the workflow itself has structured output.
    """
    if workflow.output_cls is not None or workflow.structured_output_fn is not None:
        raise UnsupportedAgentError(_STRUCTURED.format(type(workflow).__name__))
    copy = object.__new__(type(workflow))
    copy.__dict__.update(workflow.__dict__)
    copy.runtime.track_workflow(copy)
    copy.agents = {name: _shared(agent, budget, options) for name, agent in workflow.agents.items()}
    return copy


_STRUCTURED = (
    "{}: output_cls and structured_output_fn call a model after the loop, where no ledger can count it; "
    "leave them unset and parse the answer yourself"
)


def _shared(agent: BaseWorkflowAgent, budget: Any, options: dict[str, Any]) -> Any:
    guarded = guard(agent, budget, **options)
    return _guarded(agent, replace(guarded.guard_settings(), key=store_key("guard", "")))


def _guarded(agent: BaseWorkflowAgent, settings: GuardSettings) -> Any:
    _check_agent(agent)
    check_llm(agent.llm, settings.token_cap)
    Ledger(settings.budget, prices=settings.prices)  # impossible combinations are refused here, not in the first run
    tools = [_budgeted(tool, settings.key) for tool in agent.tools or ()]
    retriever = agent.tool_retriever
    copy = agent.model_copy(
        update={
            "llm": seal(agent.llm),
            "tools": [*tools, NoticeTool()],
            "tool_retriever": None if retriever is None else BudgetedTools(retriever, settings.key),
        }
    )
    # A class of its own for every guarded agent: settings cannot leak between two of them, and isinstance holds.
    name = f"Guarded{type(agent).__name__}"
    cls = new_class(name, (Guarded, type(agent)), {}, lambda body: body.update(__module__=Guarded.__module__))
    cls.guard_settings = staticmethod(lambda: settings)
    object.__setattr__(copy, "__class__", cls)
    copy.runtime.track_workflow(copy)
    return copy


def _budgeted(tool: Any, key: str) -> BaseTool:
    if isinstance(tool, BudgetedTool | NoticeTool):
        raise UnsupportedAgentError(f"the tool {tool.metadata.name!r} is budgeted already; guard an agent once")
    return BudgetedTool(tool, key)


def _check_agent(agent: Any) -> None:
    if not isinstance(agent, BaseWorkflowAgent):
        raise UnsupportedAgentError(f"guard: expected a LlamaIndex workflow agent, got {type(agent).__name__}")
    if isinstance(agent, BudgetedSearchAgent):
        raise UnsupportedAgentError(f"{agent.name}: a search agent keeps its own budget; pass it budget=...")
    if isinstance(agent, Guarded):
        raise UnsupportedAgentError(f"{agent.name}: guarded already; guard the agent you started from")
    if isinstance(agent, CodeActAgent):
        raise UnsupportedAgentError("CodeActAgent runs code, and calls made from code could not be counted")
    if agent.output_cls is not None or agent.structured_output_fn is not None:
        raise UnsupportedAgentError(_STRUCTURED.format(agent.name))


def _with_ending(budget: Budget, on_exhausted: Literal["answer", "raise"] | None) -> Budget:
    return budget if on_exhausted is None else budget.model_copy(update={"on_exhausted": on_exhausted})
