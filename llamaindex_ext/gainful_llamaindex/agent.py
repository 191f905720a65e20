"""`BudgetedSearchAgent`: a LlamaIndex agent whose every step is a decision of the controller."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentStream, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import Field
from llama_index.core.memory import BaseMemory
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.tools import AsyncBaseTool, ToolSelection

from gainful.budget import Budget, Cost
from gainful.budget.actions import Answer, Fallback, Observation, Search
from gainful_llamaindex.adapt import question_of
from gainful_llamaindex.asking import ask_for_more
from gainful_llamaindex.building import make_searcher
from gainful_llamaindex.events import BudgetedAgentOutput
from gainful_llamaindex.run_state import clock, open_run, save_run, store_key
from gainful_llamaindex.runs import SearchRun
from gainful_llamaindex.sealed import seal
from gainful_llamaindex.search_tool import SearchTool
from gainful_llamaindex.searcher import ModelAction, Searcher
from gainful_llamaindex.spans import budget_decision
from gainful_llamaindex.sync import run_sync
from gainful_llamaindex.telling import tell_end, tell_step

__all__ = ["BudgetedSearchAgent"]


class BudgetedSearchAgent(BaseWorkflowAgent):
    """Searches, proposes sub-questions and answers, as the controller decides; never beyond its budget.

    Make one with `from_defaults`. One object serves any number of runs at once: their state is in their contexts.
    A new turn in a context starts with a full budget. Each question stands alone: for a chat that refers to earlier
    turns, put the query engine under a `CondenseQuestionChatEngine`.
    """

    searcher: Any = Field(exclude=True, description="controller, retrievers, model and prompts")
    grant: Cost | None = Field(default=None, description="what a human is asked for when the budget is spent")
    hand_off_to: str | None = Field(default=None, description="agent that takes over questions left unanswered")

    @classmethod
    def from_defaults(
        cls,
        *,
        budget: Budget | str = "2/300",
        name: str = "search_agent",
        description: str = "Answers questions by searching, within a hard budget of searches and tokens.",
        ask_for_more: Cost | None = None,
        hand_off_to: str | None = None,
        streaming: bool = True,
        timeout: float | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> "BudgetedSearchAgent":
        """An agent over an index, retrievers, nodes or documents.

        Args:
            budget: Limits of each turn: `"2/300"` (searches / output tokens), a level such as `"high_mid"`, a `Budget`.
            name: Of the agent.
            description: For agents that may hand over to it.
            ask_for_more: When a limit leaves nothing but the answer, ask a human once for so much more.
            hand_off_to: In an `AgentWorkflow`: the agent that gets a question which was not answered.
            streaming: Write the answer to the event stream piece by piece.
            timeout: Seconds after which the host breaks a run off; a budget with `seconds` ends with an answer instead.
            verbose: The host's own printing.
            options: Of `make_searcher`: `index`, `retriever`, `nodes` or `documents`; `llm`, `k`, `prompts`,
                `token_cap`, `prices`, `config`, `value_model`, `cost_model`, `finalizer`.

        Raises:
            ConfigError: Not exactly one source, or an impossible budget.
            UnsupportedLLMError: We cannot cap the output of the model.
        """
        searcher = make_searcher(budget, **options)
        tools = [SearchTool(tool, searcher, store_key("search", name)) for tool in searcher.retrievers]
        return cls(
            name=name,
            description=description,
            llm=seal(searcher.llm),
            tools=tools,
            searcher=searcher,
            grant=ask_for_more,
            hand_off_to=hand_off_to,
            streaming=streaming,
            timeout=timeout,
            verbose=verbose,
        )

    def run_sync(self, question: str, **options: Any) -> BudgetedAgentOutput:
        """`run` for code that is not async, inside a running loop too."""

        async def run() -> BudgetedAgentOutput:
            return await self.run(question, **options)

        return run_sync(run())

    async def take_step(
        self, ctx: Any, llm_input: list[ChatMessage], tools: Sequence[AsyncBaseTool], memory: BaseMemory
    ) -> AgentOutput:
        """Decide until a search is due, which the host then calls, or until there is an answer. Called by the host.

        Raises:
            NoLedgerError: `ctx` has no store.
            BudgetExceededError: The budget is spent and says to raise.
        """
        searcher: Searcher = self.searcher
        run = await open_run(ctx, self.run_key, llm_input, searcher.budget, _starter(searcher, question_of(llm_input)))
        run.handing_off = False
        if run.state.open:  # the run was stored in the middle of this step
            if isinstance(run.state.open.action, Search):  # paid for, and not yet called
                return self._output("", [_call(run.state.open.action)])
            self._observe(ctx, run, Observation(outcome="cancelled"))
        while not run.state.done:
            decision = budget_decision(searcher.controller, run.state, clock())
            if await ask_for_more(ctx, self.run_key, run, decision, self.grant, searcher.controller):
                continue
            action = searcher.controller.begin(run.state, decision, clock())
            await save_run(ctx, self.run_key, run)
            if isinstance(action, Search):
                return self._output("", [_call(action)])
            await self._act(ctx, run, action)
        report = searcher.controller.finish(run.state, clock())
        await tell_end(ctx, self.run_key, run, report)
        if self.hand_off_to and report.origin == "abstention" and not run.passed_on and "handoff" in _names(tools):
            run.passed_on = True
            await save_run(ctx, self.run_key, run)
            return self._output("", [_handoff(self.hand_off_to)])
        return self._output(report.answer, [])

    async def handle_tool_call_results(self, ctx: Any, results: list[ToolCallResult], memory: BaseMemory) -> None:
        """Take in what a search returned. Called by the host."""
        run: SearchRun = await ctx.store.get(self.run_key)
        for result in results:
            run.handing_off = run.handing_off or result.tool_name == "handoff"
            if run.state.open and isinstance(run.state.open.action, Search):
                self._observe(ctx, run, _observation(result))
        await save_run(ctx, self.run_key, run)

    async def finalize(self, ctx: Any, output: AgentOutput, memory: BaseMemory) -> AgentOutput:
        """Attach the report. Called by the host when a run ends, and before a handoff, which gives no new budget."""
        run: SearchRun = await ctx.store.get(self.run_key)
        if run.handing_off:
            return output
        run.done = True
        await save_run(ctx, self.run_key, run)
        await memory.aput(output.response)
        fields = {name: getattr(output, name) for name in AgentOutput.model_fields}
        return BudgetedAgentOutput(**fields, report=run.state.report)

    @property
    def run_key(self) -> str:
        """Where its run is stored in a context."""
        return store_key("search", self.name)

    def _get_prompts(self) -> PromptDictType:
        return dict(self.searcher.prompts)

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
        self.searcher.update_prompts(prompts_dict)

    async def _act(self, ctx: Any, run: SearchRun, action: ModelAction | Fallback) -> None:
        """One model call, observed whatever becomes of it."""
        seen = Observation(outcome="cancelled")
        on_text = self._streamer(ctx) if self.streaming and isinstance(action, Answer) else None
        try:
            seen = (
                Observation() if isinstance(action, Fallback) else await self.searcher.ask(run.state, action, on_text)
            )
        finally:
            self._observe(ctx, run, seen)
            await save_run(ctx, self.run_key, run)

    def _observe(self, ctx: Any, run: SearchRun, seen: Observation) -> None:
        if run.state.open is not None:
            self.searcher.controller.observe(run.state, run.state.open.action, seen, clock())
            tell_step(ctx, run.state)

    def _streamer(self, ctx: Any) -> Callable[[ChatResponse], None]:
        def write(piece: ChatResponse) -> None:
            text = piece.message.content or ""
            ctx.write_event_to_stream(AgentStream(delta=piece.delta or "", response=text, current_agent_name=self.name))

        return write

    def _output(self, text: str, calls: list[ToolSelection]) -> AgentOutput:
        response = ChatMessage(role="assistant", content=text)
        return AgentOutput(response=response, tool_calls=calls, current_agent_name=self.name)


def _starter(searcher: Searcher, question: str) -> Callable[[Budget, int, dict[str, Any]], SearchRun]:
    def start(budget: Budget, host_steps: int, mark: dict[str, Any]) -> SearchRun:
        return SearchRun(state=searcher.start(question, budget, host_steps), **mark)

    return start


def _observation(result: ToolCallResult) -> Observation:
    """What the search tool wrote; a tool that failed otherwise is an error."""
    raw = result.tool_output.raw_output
    return Observation.model_validate(raw) if isinstance(raw, dict) else Observation(outcome="error")


def _call(action: Search) -> ToolSelection:
    return ToolSelection(tool_id=str(uuid.uuid4()), tool_name=action.tool, tool_kwargs={"query": action.query})


def _handoff(to_agent: str | None) -> ToolSelection:
    kwargs = {"to_agent": to_agent, "reason": "no answer was found within the budget"}
    return ToolSelection(tool_id=str(uuid.uuid4()), tool_name="handoff", tool_kwargs=kwargs)


def _names(tools: Sequence[AsyncBaseTool]) -> list[str]:
    return [tool.metadata.get_name() for tool in tools]
