"""`BudgetedSearchQueryEngine`: the controller under LlamaIndex's query interface."""

import asyncio

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.tools import QueryEngineTool

from gainful.budget import Budget
from gainful_llamaindex import BudgetedSearchQueryEngine, BudgetExceededError, NoLedgerError, guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

QUESTION = "Where was the director of the film Velmar Crossing born?"


@pytest.fixture
def engine_of(nodes, planner):
    def make(llm=None, **options):
        return BudgetedSearchQueryEngine.from_defaults(nodes=nodes, llm=llm or planner(), **{"k": 2, **options})

    return make


def test_a_query_returns_text_sources_and_accounts(engine_of):
    response = engine_of(budget="3/500").query(QUESTION)
    assert str(response) == "Tarnholm"
    budget = response.metadata["budget"]
    assert budget["exit_reason"] in ("answered", "sufficient", "budget:tool_calls")
    assert budget["spent"]["tool_calls"] <= 3
    assert budget["audit_ok"] is True
    assert response.metadata["trace"][0]["record"] == "start"
    # the cited passage comes first
    assert response.source_nodes[0].node.node_id in budget["citations"]


def test_it_runs_inside_a_running_loop_and_in_parallel(engine_of):
    engine = engine_of(budget="1/100")

    async def inside():
        return engine.query(QUESTION), await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(5)))

    one, many = asyncio.run(inside())
    assert {str(response) for response in (one, *many)} == {"Tarnholm"}


def test_sync_queries_over_http_survive_their_event_loops(serve, wire, openai_llm, nodes):
    server = serve(wire(text="Tarnholm [1]"))
    engine = BudgetedSearchQueryEngine.from_defaults(nodes=nodes, llm=openai_llm(server), budget="1/100", k=2)
    assert [str(engine.query(QUESTION)) for _ in range(3)] == ["Tarnholm"] * 3

    async def inside():
        return [str(engine.query(QUESTION)) for _ in range(3)]

    assert asyncio.run(inside()) == ["Tarnholm"] * 3
    assert all(cap <= 100 for cap in server.caps)


def test_query_events_are_the_hosts_own(engine_of):
    seen = []

    class Handler(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event.class_name())

    dispatcher, handler = get_dispatcher(), Handler()
    dispatcher.add_event_handler(handler)
    try:
        engine_of(budget="1/100").query(QUESTION)
    finally:
        dispatcher.event_handlers.remove(handler)
    assert [seen.count(name) for name in ("QueryStartEvent", "QueryEndEvent")] == [1, 1]
    assert seen.count("BudgetDecisionEvent") == 2


def test_it_raises_if_the_budget_says_so(engine_of):
    with pytest.raises(BudgetExceededError):
        engine_of(budget=Budget(tool_calls=0, on_exhausted="raise")).query(QUESTION)


def test_it_answers_condensed_questions_of_a_chat(engine_of, planner):
    chat = CondenseQuestionChatEngine.from_defaults(
        query_engine=engine_of(budget="2/300"), llm=ScriptedLLM(script=[QUESTION])
    )
    assert str(chat.chat("where was she born?")) == "Tarnholm"


def tool_of(engine):
    return QueryEngineTool.from_defaults(engine, name="ask", description="Answers questions.")


def caller(engine, budget):
    def script(messages, tools):
        asked = any(message.role == "tool" for message in messages)
        return Reply(tools=[("ask", {"input": QUESTION})]) if tools and not asked else "done"

    return guard(FunctionAgent(tools=[tool_of(engine)], llm=ScriptedLLM(script=script)), budget)


def run(agent):
    async def go():
        return await agent.run("q")

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_as_a_tool_it_has_its_own_account(engine_of):
    engine = engine_of(budget="1/100")
    out = run(caller(engine, "2/300"))
    assert len(engine.searcher.llm.calls) == 1
    assert out.report.spent["llm_calls"] == 2  # the agent's two steps


def test_trap_5_an_inherited_account_pays_for_calls_inside_a_tool(engine_of):
    engine = engine_of(budget="1/100", parent="inherit")
    out = run(caller(engine, "2/300"))
    inner = sum(call.output_tokens for call in engine.searcher.llm.calls)
    assert inner > 0
    assert out.report.spent["llm_calls"] == 3
    # a name and eleven words of JSON for the call, the engine's answer, then "done"
    assert out.report.spent["output_tokens"] == 12 + inner + 1


def test_trap_5_a_call_that_the_caller_cannot_pay_is_not_made(engine_of):
    engine = engine_of(budget="1/100", parent="inherit")
    out = run(caller(engine, Budget(tool_calls=2, llm_calls=2)))
    assert engine.searcher.llm.calls == []
    assert out.report.spent["llm_calls"] == 2
    assert str(out) == "done"


def test_trap_5_an_engine_that_inherits_from_nobody_is_an_error(engine_of):
    engine = engine_of(budget="1/100", parent="inherit")
    with pytest.raises(NoLedgerError, match="outside a run"):
        engine.query(QUESTION)
    assert engine.searcher.llm.calls == []
