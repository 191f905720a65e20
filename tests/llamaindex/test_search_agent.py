"""`BudgetedSearchAgent`: the controller's decisions as a LlamaIndex agent."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import AgentWorkflowStartEvent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import Document, NodeWithScore
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from llama_index.core.workflow.errors import WorkflowCancelledByUser
from workflows.context.state_store import DictState, InMemoryStateStore

from gainful.budget import Budget, Cost
from gainful.budget.axes import SECONDS
from gainful.errors import ConfigError, UnknownNameError
from gainful_llamaindex import (
    BudgetedAgentOutput,
    BudgetedSearchAgent,
    BudgetExceededError,
    DecisionEvent,
    EvidenceEvent,
    NoLedgerError,
    UnsupportedAgentError,
    UnsupportedLLMError,
    guard,
)
from gainful_llamaindex.run_state import BUDGET_KEY
from gainful_llamaindex.runs import SearchRun
from gainful_llamaindex.testing import Reply, ScriptedLLM

QUESTION = "Where was the director of the film Velmar Crossing born?"


@pytest.fixture
def agent_of(nodes, planner):
    def make(llm=None, **options):
        return BudgetedSearchAgent.from_defaults(nodes=nodes, llm=llm or planner(), **{"k": 2, **options})

    return make


def run(agent, question=QUESTION, **options):
    async def go():
        return await agent.run(question, **options)

    return asyncio.run(asyncio.wait_for(go(), 10))


def actions(out):
    return [record.action for record in out.report.trace.steps]


def test_a_two_hop_question_is_searched_and_answered_within_the_budget(agent_of):
    agent = agent_of(budget="3/500")
    out = run(agent)
    assert isinstance(out, BudgetedAgentOutput)
    assert str(out) == out.report.answer == "Tarnholm"
    assert actions(out)[0] == "SEARCH"
    assert actions(out)[-1] == "ANSWER"
    assert out.report.spent["tool_calls"] <= 3
    assert out.report.audit_ok
    assert len(out.report.citations) == 1


@pytest.mark.parametrize("budget", ["0/0", "0/100", "1/0", "1/100", "2/24", "2/200", "9/2000"])
def test_every_budget_ends_with_one_answer_inside_it(agent_of, budget):
    agent = agent_of(budget=budget)
    out = run(agent)
    for use in out.report.axes:
        assert use.spent <= use.limit
    calls, tokens = (int(part) for part in budget.split("/"))
    assert sum(call.output_tokens for call in agent.llm.calls) <= tokens
    assert len([call for call in out.tool_calls if call.tool_name == "search"]) <= calls
    assert str(out)


def test_a_search_is_the_hosts_own_tool_call(agent_of, events_of):
    async def go():
        return await events_of(agent_of(budget="1/100").run(QUESTION))

    out, events = asyncio.run(go())
    names = [type(event).__name__ for event in events]
    assert names.index("ToolCall") < names.index("ToolCallResult") < names.index("EvidenceEvent")
    lines = [str(event) for event in events if isinstance(event, DecisionEvent)]
    assert lines == out.report.table().splitlines()[: len(lines)]
    assert all(len(line) <= 140 for line in lines)
    assert lines[0].startswith('[0] SEARCH "')
    assert [event.query for event in events if isinstance(event, EvidenceEvent)] == [QUESTION]
    assert "AgentStream" in names  # the answer, piece by piece


def test_the_model_sees_caps_of_the_ledger(agent_of):
    agent = agent_of(budget="3/90")
    run(agent)
    caps = [call.max_tokens for call in agent.llm.calls]
    assert all(cap <= 90 for cap in caps)
    spent = 0
    for call in agent.llm.calls:
        assert call.max_tokens <= 90 - spent
        spent += call.output_tokens


def test_a_new_turn_in_a_context_has_a_full_budget_and_keeps_the_history(agent_of):
    agent = agent_of(budget="1/100")

    async def two_turns():
        ctx = Context(agent)
        outs = [await agent.run(question, ctx=ctx) for question in (QUESTION, "Where was Pell Aston born?")]
        memory = await ctx.store.get("memory")
        return outs, await memory.aget_all()

    (first, second), history = asyncio.run(two_turns())
    assert first.report.spent["tool_calls"] == second.report.spent["tool_calls"] == 1
    assert second.report.question == "Where was Pell Aston born?"
    assert [message.role.value for message in history] == ["user", "assistant", "user", "assistant"]


def test_twenty_concurrent_runs_keep_their_own_budgets(agent_of):
    agent = agent_of(budget="9/900")

    async def one(number):
        ctx = Context(agent)
        await ctx.store.set(BUDGET_KEY, f"{number % 4}/{100 + number}")
        return await agent.run(QUESTION, ctx=ctx)

    async def all_runs():
        return await asyncio.gather(*(one(number) for number in range(20)))

    for number, out in enumerate(asyncio.run(all_runs())):
        limits = {use.axis: use.limit for use in out.report.axes}
        assert (limits["tool_calls"], limits["output_tokens"]) == (number % 4, 100 + number)
        assert out.report.spent.get("tool_calls", 0) <= number % 4


def test_a_model_that_fails_costs_its_reservation_and_the_run_still_answers(agent_of, planner):
    agent = agent_of(llm=planner(answer=Reply(error="no such model")), budget="2/300")
    out = run(agent)
    assert out.report.origin == "abstention"
    assert out.report.trace.steps[-1].outcome == "error"
    assert out.report.spent["output_tokens"] > 100


def test_a_retriever_that_fails_costs_a_call_and_the_run_still_answers(planner):
    class Broken(BaseRetriever):
        def _retrieve(self, query_bundle) -> list[NodeWithScore]:
            raise OSError("index is gone")

    agent = BudgetedSearchAgent.from_defaults(retriever=Broken(), llm=planner(), budget="2/300")
    out = run(agent)
    assert out.report.spent["tool_calls"] >= 1
    assert out.report.trace.steps[0].outcome == "error"
    assert out.report.origin == "abstention"


def test_a_model_that_ignores_its_cap_fails_the_audit_and_nothing_else(agent_of, planner):
    agent = agent_of(llm=planner(answer="word " * 500, obeys_cap=False), budget="1/100")
    out = run(agent)
    assert out.report.audit_ok is False
    assert out.report.spent["output_tokens"] >= 500


def test_raise_on_exhaustion(agent_of):
    with pytest.raises(BudgetExceededError) as caught:
        run(agent_of(budget=Budget(tool_calls=0, output_tokens=100, on_exhausted="raise")))
    assert caught.value.resource == "tool_calls"
    assert caught.value.report.spent.get("tool_calls", 0) == 0


def test_several_retrievers_are_tools_with_limits_of_their_own(nodes, planner):
    from llama_index.retrievers.bm25 import BM25Retriever

    halves = {
        name: BM25Retriever.from_defaults(nodes=part, similarity_top_k=2)
        for name, part in {"films": nodes[:3], "people": nodes[3:]}.items()
    }
    budget = Budget(tool_calls=3, output_tokens=300, per_tool={"search_films": 1})
    agent = BudgetedSearchAgent.from_defaults(retriever=halves, llm=planner(), budget=budget)
    out = run(agent)
    tools = [record.tool for record in out.report.trace.steps if record.action == "SEARCH"]
    assert tools.count("search_films") <= 1
    assert set(tools) <= {"search_films", "search_people"}


def test_documents_are_searched_by_the_embedded_retriever(nodes, planner):
    documents = [Document(text=node.text, metadata=node.metadata) for node in nodes]
    agent = BudgetedSearchAgent.from_defaults(documents=documents, llm=planner(), budget="2/300", k=2)
    assert str(run(agent)) == "Tarnholm"


def test_an_index_is_searched_through_its_own_retriever_and_the_model_comes_from_settings(nodes, planner, monkeypatch):
    from llama_index.core import MockEmbedding, Settings, VectorStoreIndex

    monkeypatch.setattr(Settings, "_llm", planner())
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
    out = run(BudgetedSearchAgent.from_defaults(index=index, budget="1/100", k=3))
    assert len(out.report.evidence) == 3
    assert len(Settings.llm.calls) == 1


def test_sync_calls_work_inside_and_outside_a_running_loop(agent_of):
    agent = agent_of(budget="1/100")
    assert str(agent.run_sync(QUESTION)) == "Tarnholm"

    async def inside():
        return agent.run_sync(QUESTION)

    assert str(asyncio.run(inside())) == "Tarnholm"


def test_errors_of_sync_calls_are_the_runs_own(agent_of):
    agent = agent_of(budget=Budget(tool_calls=0, on_exhausted="raise"))
    with pytest.raises(BudgetExceededError):
        agent.run_sync(QUESTION)


def test_a_cancelled_run_leaves_settled_accounts(agent_of, planner):
    agent = agent_of(llm=planner(answer=Reply(text="late", seconds=30)), budget="1/100")

    async def go():
        ctx = Context(agent)
        handler = agent.run(QUESTION, ctx=ctx)
        while not agent.llm.calls:
            await asyncio.sleep(0.01)
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        await asyncio.sleep(0.05)
        return await ctx.store.get(agent.run_key)

    state = asyncio.run(asyncio.wait_for(go(), 10)).state
    assert state.ledger.open_reservations == ()
    assert state.ledger.spent()["tool_calls"] == 1
    assert state.trace.steps[-1].outcome == "cancelled"


def test_a_slow_search_is_stopped_at_the_deadline(planner):
    class Slow(BaseRetriever):
        def _retrieve(self, query_bundle) -> list[NodeWithScore]:
            return []

        async def _aretrieve(self, query_bundle) -> list[NodeWithScore]:
            await asyncio.sleep(30)
            return []

    agent = BudgetedSearchAgent.from_defaults(retriever=Slow(), llm=planner(), budget=Budget(seconds=0.5, tool_calls=3))
    out = run(agent)
    assert out.report.trace.steps[0].outcome == "timeout"
    assert out.report.exit_reason == "deadline"


@pytest.mark.parametrize("event", ["AgentOutput", "ToolCallResult", "EvidenceEvent"])
def test_a_run_stored_in_the_middle_goes_on_with_the_same_ledger(agent_of, event):
    agent = agent_of(budget="2/400")

    async def go():
        ctx = Context(agent)
        handler = agent.run(QUESTION, ctx=ctx)
        async for seen in handler.stream_events():
            if type(seen).__name__ == event:
                break
        stored = json.dumps(ctx.to_dict())
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        return await agent.run(ctx=Context.from_dict(agent, json.loads(stored)))

    out = asyncio.run(asyncio.wait_for(go(), 10))
    assert str(out) == "Tarnholm"
    assert out.report.spent["tool_calls"] <= 2
    assert out.report.audit_ok


def test_a_search_that_was_paid_for_and_not_yet_called_is_called_after_a_restore(agent_of):
    agent = agent_of(budget="2/400")
    messages, memory = [ChatMessage(role="user", content=QUESTION)], ChatMemoryBuffer.from_defaults(llm=agent.llm)

    class Step:
        store = InMemoryStateStore(DictState())

        def write_event_to_stream(self, event):
            pass

    async def go():
        first = await agent.take_step(Step, messages, agent.tools, memory)
        run_state = await Step.store.get(agent.run_key)
        restored = SearchRun.model_validate_json(run_state.model_dump_json())
        await Step.store.set(agent.run_key, restored)
        second = await agent.take_step(Step, messages, agent.tools, memory)
        return first, second, restored.state.ledger.spent()

    first, second, spent = asyncio.run(go())
    assert first.tool_calls[0].tool_kwargs == second.tool_calls[0].tool_kwargs == {"query": QUESTION}
    assert spent["tool_calls"] == 1


def asking(agent, replies):
    async def go():
        handler = agent.run(QUESTION)
        questions = []
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                questions.append(event.prefix)
                handler.ctx.send_event(HumanResponseEvent(response=replies[len(questions) - 1]))
        run_state = await handler.ctx.store.get(agent.run_key)
        return await handler, questions, run_state.state.ledger.snapshot().next_id - 1

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_a_human_is_asked_once_for_more_and_the_grant_is_recorded(agent_of):
    agent = agent_of(budget="1/100", ask_for_more=Cost(tool_calls=1, output_tokens=60))
    out, questions, reservations = asking(agent, ["yes"])
    assert questions == [
        "The limit on tool_calls is reached. May I have 1 more searches and 60 more output tokens? (yes or no)"
    ]
    limits = {use.axis: use.limit for use in out.report.axes}
    assert (limits["tool_calls"], limits["output_tokens"]) == (2, 160)
    assert len(out.report.grants) == 1
    # the waiting step runs twice: each decision is still reserved for once
    steps = [record for record in out.report.trace.steps if record.action != "FALLBACK"]
    assert out.report.spent["tool_calls"] == sum(record.action == "SEARCH" for record in steps) == 2
    assert len(agent.llm.calls) == sum(record.action in ("DECOMPOSE", "ANSWER") for record in steps)
    assert reservations == len(steps)


def test_a_human_may_say_no(agent_of):
    out, questions, _ = asking(agent_of(budget="1/100", ask_for_more=Cost(tool_calls=2)), ["no"])
    assert len(questions) == 1
    assert out.report.grants == ()
    assert out.report.spent["tool_calls"] == 1


def test_waiting_for_a_human_costs_no_time(agent_of):
    agent = agent_of(budget=Budget(tool_calls=1, output_tokens=100, seconds=20), ask_for_more=Cost(tool_calls=1))

    async def go():
        handler = agent.run(QUESTION)
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                await asyncio.sleep(0.4)
                handler.ctx.send_event(HumanResponseEvent(response="no"))
        return await handler

    out = asyncio.run(asyncio.wait_for(go(), 10))
    assert out.report.spent[SECONDS] < 0.4


def test_it_is_the_target_of_a_handoff_in_a_workflow(agent_of):
    script = [Reply(tools=[("handoff", {"to_agent": "search_agent", "reason": "it can search"})]), "unused"]
    front = FunctionAgent(name="front", description="talks", llm=ScriptedLLM(script=script))
    workflow = AgentWorkflow(agents=[front, agent_of(budget="2/300")], root_agent="front")
    out = run(workflow)
    assert isinstance(out, BudgetedAgentOutput)
    assert str(out) == "Tarnholm"
    assert out.current_agent_name == "search_agent"


def test_it_hands_an_unanswered_question_on(agent_of, planner):
    agent = agent_of(llm=planner(answer=Reply(error="down")), budget="1/100", hand_off_to="writer")
    writer = FunctionAgent(name="writer", description="writes", llm=ScriptedLLM(script=["I cannot say."]))
    out = run(AgentWorkflow(agents=[agent, writer], root_agent="search_agent"))
    assert str(out) == "I cannot say."
    assert out.current_agent_name == "writer"


@pytest.mark.parametrize("target", ["writer", "nobody"])
def test_a_question_that_comes_back_gets_no_second_budget(agent_of, planner, target):
    agent = agent_of(llm=planner(answer=Reply(error="down")), budget="1/100", hand_off_to=target)
    back = Reply(tools=[("handoff", {"to_agent": "search_agent", "reason": "try again"})])
    writer = FunctionAgent(name="writer", description="writes", llm=ScriptedLLM(script=[back, "unused"]))
    out = run(AgentWorkflow(agents=[agent, writer], root_agent="search_agent"))
    assert out.report.origin == "abstention"
    assert out.report.spent["tool_calls"] == 1
    assert len(agent.llm.calls) == 1


def test_a_question_too_long_for_the_input_limit_is_refused_before_it_is_sent(agent_of):
    agent = agent_of(budget=Budget(tool_calls=1, input_tokens=300))
    out = run(agent, question="Where was " + "the director of " * 300 + "it born?")
    assert agent.llm.calls == []
    assert out.report.origin == "abstention"
    assert out.report.spent.get("input_tokens", 0) == 0


def test_a_start_event_from_a_server_starts_a_run(agent_of):
    agent = agent_of(budget="1/100")
    sent = json.loads(
        json.dumps(AgentWorkflowStartEvent(user_msg=QUESTION, chat_history=[], max_iterations=9).model_dump())
    )
    out = run(agent, question=None, start_event=AgentWorkflowStartEvent(**sent))
    assert str(out) == "Tarnholm"
    assert {use.axis: use.limit for use in out.report.axes}["host_steps"] == 8


def test_a_search_that_nobody_paid_for_does_not_run(agent_of):
    agent = agent_of()
    with pytest.raises(NoLedgerError, match="outside a run"):
        asyncio.run(agent.tools[0].acall(query="anything"))


def test_another_agent_cannot_search_with_a_tool_that_was_paid_for_once(agent_of, planner):
    agent = agent_of(llm=planner(answer=Reply(error="down")), budget="1/100", hand_off_to="writer")
    script = [Reply(tools=[("search", {"query": "more"})]), "done"]
    writer = FunctionAgent(name="writer", description="writes", tools=agent.tools, llm=ScriptedLLM(script=script))
    out = run(AgentWorkflow(agents=[agent, writer], root_agent="search_agent"))
    refused = [message.content for message in writer.llm.calls[-1].messages if message.role == "tool"]
    assert refused == ["search: no such search is paid for in this run; ask the agent instead"]
    assert str(out) == "done"


def test_prompts_can_be_read_and_replaced(agent_of):
    agent = agent_of(prompts={"answer_prompt": PromptTemplate("Say it: {question} {passages} {facts}")}, budget="1/100")
    assert set(agent.get_prompts()) == {"propose_prompt", "answer_prompt", "critic_prompt"}
    run(agent)
    assert agent.llm.calls[-1].messages[-1].content.startswith("Say it: Where was")
    agent.update_prompts({"answer_prompt": PromptTemplate("Again: {question} {passages} {facts}")})
    run(agent)
    assert agent.llm.calls[-1].messages[-1].content.startswith("Again: Where was")
    with pytest.raises(UnknownNameError, match="did you mean 'answer_prompt'"):
        agent_of(prompts={"anwser_prompt": PromptTemplate("x")})


def test_impossible_options_are_refused_when_the_agent_is_made(nodes, planner, agent_of):
    from llama_index.core.llms import MockLLM

    with pytest.raises(ConfigError, match="exactly one of index, retriever, nodes, documents, got none"):
        BudgetedSearchAgent.from_defaults(llm=planner())
    with pytest.raises(ConfigError, match="got nodes, documents"):
        BudgetedSearchAgent.from_defaults(nodes=nodes, documents=[], llm=planner())
    with pytest.raises(UnsupportedLLMError):
        BudgetedSearchAgent.from_defaults(nodes=nodes, llm=MockLLM())
    with pytest.raises(ConfigError, match="2/300"):
        agent_of(budget="many/few")
    with pytest.raises(UnsupportedAgentError, match="keeps its own budget"):
        guard(agent_of(), "2/300")
