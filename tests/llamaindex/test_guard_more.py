"""Guarded agents in less common company: agents of one's own, sync tools, turns after a fallback, hung servers."""

import asyncio

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.objects import ObjectRetriever
from llama_index.core.tools import FunctionTool, ToolSelection
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent

from gainful.budget import Budget
from gainful_llamaindex import (
    BudgetedSearchAgent,
    BudgetedSearchQueryEngine,
    NoLedgerError,
    UnsupportedAgentError,
    guard,
    guard_workflow,
)
from gainful_llamaindex.testing import Reply, ScriptedLLM


def run(agent, question="why?", seconds=20):
    async def go():
        return await agent.run(question)

    return asyncio.run(asyncio.wait_for(go(), seconds))


class Plain(BaseWorkflowAgent):
    """Calls its first tool as long as it is offered one."""

    async def take_step(self, ctx, llm_input, tools, memory):
        response = await self.llm.achat(llm_input)
        names = [tool.metadata.name for tool in tools[:1]]
        calls = [ToolSelection(tool_id="id", tool_name=name, tool_kwargs={"query": "q"}) for name in names]
        return AgentOutput(response=response.message, tool_calls=calls, raw=response.raw, current_agent_name=self.name)

    async def handle_tool_call_results(self, ctx, results, memory):
        for result in results:
            await memory.aput(ChatMessage(role="user", content=result.tool_output.content))

    async def finalize(self, ctx, output, memory):
        return output


def test_an_agent_of_ones_own_that_obeys_its_tools_argument_is_guarded(searches):
    agent = guard(Plain(tools=[searches.search], llm=ScriptedLLM(script=["thinking", "thinking", "done"])), "2/300")
    out = run(agent)
    assert isinstance(agent, Plain)
    assert str(out) == "done"
    assert len(searches.queries) == 2
    assert out.report.exit_reason == "budget:tool_calls"


def test_after_a_fallback_a_react_agent_takes_its_next_turn_from_a_clean_start(searches):
    insists = 'Thought: search\nAction: search\nAction Input: {"query": "q"}'
    llm = ScriptedLLM(script=[insists, insists, "Thought: easy\nAnswer: two"], is_function_calling_model=False)
    agent = guard(ReActAgent(tools=[searches.search], llm=llm), "1/400")

    async def two_turns():
        ctx = Context(agent)
        return [await agent.run(text, ctx=ctx) for text in ("first?", "second?")]

    first, second = asyncio.run(asyncio.wait_for(two_turns(), 10))
    assert "passage 1 about q" in str(first)
    assert str(second) == "two"
    # the first turn is one message of the history, and nothing of it goes on as reasoning of the second
    assert [message.role.value for message in llm.calls[-1].messages] == ["system", "user", "assistant", "user"]


def test_a_hung_server_is_let_go_at_the_deadline(serve, wire, openai_llm, searches):
    server = serve(wire(hang_seconds=60))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server)), Budget(seconds=1.5, tool_calls=1))
    out = run(agent)
    assert str(out).startswith("No answer")
    assert out.report.exit_reason == "deadline"
    assert server.saw_abort(seconds=5)
    assert out.report.late_seconds < 1


def test_a_sync_tool_in_a_thread_never_runs_a_model_uncounted(nodes, planner):
    """A thread need not inherit the step's context; without it the engine refuses, with it the calls are charged."""
    engine = BudgetedSearchQueryEngine.from_defaults(nodes=nodes, llm=planner(), budget="1/100", k=2, parent="inherit")

    def ask(query: str) -> str:
        """Ask the engine."""
        return str(engine.query(query))

    script = [Reply(tools=[("ask", {"query": "Where was Oda Brinnel born?"})]), "done"]
    agent = guard(FunctionAgent(tools=[FunctionTool.from_defaults(ask)], llm=ScriptedLLM(script=script)), "2/300")
    out = run(agent)
    assert out.report.spent["llm_calls"] == 2 + len(engine.searcher.llm.calls)


def test_a_workflow_with_structured_output_is_refused(searches):
    agent = FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=["x"]))
    with pytest.raises(UnsupportedAgentError, match="output_cls"):
        guard_workflow(AgentWorkflow(agents=[agent], output_cls=Form), "2/300")


def test_two_guarded_copies_of_one_agent_have_their_own_settings(searches):
    agent = FunctionAgent(
        tools=[searches.search],
        llm=ScriptedLLM(script=lambda m, t: Reply(tools=[("search", {"query": "a"})]) if t else "done"),
    )
    small, large = guard(agent, "1/300"), guard(agent, "3/300")
    assert run(small).report.spent["tool_calls"] == 1
    assert run(large).report.spent["tool_calls"] == 3


def test_a_tool_that_waits_for_a_human_is_charged_once():
    asked = []

    async def confirm(ctx: Context, what: str) -> str:
        """Ask a human."""
        asked.append(what)
        question = InputRequiredEvent(prefix=f"Really {what}?")
        reply = await ctx.wait_for_event(HumanResponseEvent, waiter_id=what, waiter_event=question)
        return f"the human says {reply.response}"

    script = [Reply(tools=[("confirm", {"what": "delete"})]), "done"]
    agent = guard(FunctionAgent(tools=[confirm], llm=ScriptedLLM(script=script)), "1/300")

    async def go():
        handler = agent.run("q")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="yes"))
        return await handler

    out = asyncio.run(asyncio.wait_for(go(), 10))
    assert str(out) == "done"
    assert set(asked) == {"delete"}  # once, or again where the host starts a waiting step from its beginning
    assert out.report.spent["tool_calls"] == 1


def test_an_agent_without_tools_is_capped_and_told_nothing(searches):
    agent = guard(FunctionAgent(llm=ScriptedLLM(script=["hello there"])), "2/300")
    out = run(agent)
    assert [call.max_tokens for call in agent.llm.calls] == [300]
    assert len(agent.llm.calls[0].messages) == 1
    assert out.report.exit_reason == "answered"


def test_a_retriever_of_tools_is_guarded_with_them(searches):
    class Tools(ObjectRetriever):
        def __init__(self):
            pass

        async def aretrieve(self, query):
            return [FunctionTool.from_defaults(searches.search)]

    script = [Reply(tools=[("search", {"query": "a"}), ("search", {"query": "b"})]), "done"]
    out = run(guard(FunctionAgent(tool_retriever=Tools(), llm=ScriptedLLM(script=script)), "1/300"))
    assert searches.queries == ["a"]
    assert out.report.spent["tool_calls"] == 1


class Form(BaseModel):
    answer: str


@pytest.mark.parametrize("kind", ["guarded", "search agent"])
def test_a_model_is_not_called_behind_the_ledger_by_a_workflow_with_structured_output(searches, nodes, planner, kind):
    llm = planner(answer="plain text")
    agent = (
        guard(FunctionAgent(tools=[searches.search], llm=llm), "2/300")
        if kind == "guarded"
        else BudgetedSearchAgent.from_defaults(nodes=nodes, llm=llm, budget="1/100", k=2)
    )
    with pytest.warns(UserWarning, match="belongs to a budgeted agent and was called outside its steps"):
        out = run(AgentWorkflow(agents=[agent], output_cls=Form))
    assert str(out) == "plain text"
    assert out.structured_response is None
    assert len(llm.calls) == out.report.spent["llm_calls"] == 1


def test_the_model_of_a_guarded_agent_describes_itself_and_the_original_can_be_called(searches):
    llm = ScriptedLLM(script=["hello"])
    agent = guard(FunctionAgent(tools=[searches.search], llm=llm), "2/300")
    assert isinstance(agent.llm, ScriptedLLM)
    assert agent.llm.metadata == llm.metadata
    with pytest.raises(NoLedgerError, match="ScriptedLLM belongs to a budgeted agent"):
        agent.llm.complete("past the ledger")
    assert str(llm.complete("with the original")) == "hello"
