"""Six ways in which a budget is silently not kept by this host, each closed and tested; most of them over real HTTP."""

import ast
import asyncio
import inspect
import json
import subprocess
import sys
import textwrap
import warnings

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context

from gainful.budget import Budget
from gainful_llamaindex import BudgetedAgentOutput, NoLedgerError, guard
from gainful_llamaindex.guarded import Guarded
from gainful_llamaindex.testing import Reply, ScriptedLLM

SEARCH = ("search", json.dumps({"query": "Solaris"}))


def run(agent, question="who directed it?", seconds=5, **options):
    async def go():
        return await agent.run(question, **options)

    return asyncio.run(asyncio.wait_for(go(), seconds))


def test_trap_1_the_cap_on_the_wire_is_the_ledgers_and_the_callers_model_is_unchanged(
    serve, wire, openai_llm, searches
):
    server = serve(wire(tool_calls=[SEARCH], tokens=20), wire(text="Andrei Tarkovsky"))
    llm = openai_llm(server, max_tokens=200)
    before = llm.model_dump()
    agent = guard(
        FunctionAgent(tools=[searches.search], llm=llm, streaming=False), Budget(tool_calls=1, output_tokens=130)
    )
    out = run(agent)
    # 24 of 130 are held for the answer: 106 for the step, then what is left of 130 after its 20; never the 200
    assert server.caps == [106, 110]
    assert out.report.spent["output_tokens"] == 22
    assert llm.model_dump() == before


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("usage", [True, False])
def test_trap_2_missing_usage_costs_the_reservation_and_usage_is_asked_for(
    serve, wire, openai_llm, searches, streaming, usage
):
    server = serve(wire(text="Andrei Tarkovsky it was", usage=usage))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server), streaming=streaming), "2/300")
    out = run(agent)
    assert str(out).strip() == "Andrei Tarkovsky it was"
    assert out.report.spent["output_tokens"] == (4 if usage else server.caps[0] == 255 and 255)
    asked = server.requests[0].get("stream_options")
    assert asked == ({"include_usage": True} if streaming else None)


def test_trap_2_a_stream_that_breaks_off_costs_the_reservation(serve, wire, openai_llm, searches):
    server = serve(wire(text="one two three four", disconnect_after=2))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server)), "2/300")

    async def go():
        ctx = Context(agent)
        with pytest.raises(Exception, match=r"."):
            await agent.run("q", ctx=ctx)
        return await ctx.store.get(agent.guard_settings().key)

    run_state = asyncio.run(asyncio.wait_for(go(), 5))
    assert run_state.ledger.spent()["output_tokens"] == 255
    assert run_state.ledger.open_reservations == ()


@pytest.mark.parametrize("status", [429, 500])
def test_trap_2_a_refused_call_is_charged_and_the_error_is_the_providers(serve, wire, openai_llm, searches, status):
    server = serve(wire(status=status))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server)), "2/300")
    with pytest.raises(Exception, match=f"scripted {status}"):
        run(agent)


def test_trap_3_a_step_returns_a_plain_output_and_the_report_is_a_field_of_the_last_one(searches):
    agent = guard(FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=["done"])), "2/300")
    out = run(agent, seconds=5)
    assert isinstance(out, BudgetedAgentOutput)
    again = BudgetedAgentOutput.model_validate(out.model_dump())
    assert again.report == out.report
    assert inspect.signature(Guarded.take_step).return_annotation is AgentOutput


def test_trap_3_nothing_in_a_step_builds_the_subclass():
    """A subclass that leaves `take_step` is an event no step waits for: the run would hang for ever."""
    tree = ast.parse(inspect.getsource(sys.modules[Guarded.__module__]))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    building = {
        function.name
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == "BudgetedAgentOutput" and isinstance(node.ctx, ast.Load)
    }
    assert building == {"finalize"}


def test_trap_4_chat_memory_survives_turns_and_every_turn_has_a_fresh_budget(searches):
    llm = ScriptedLLM(script=["one", "two", "three"])
    agent = guard(FunctionAgent(tools=[searches.search], llm=llm), "2/300")

    async def three_turns():
        ctx = Context(agent)
        return [await agent.run(text, ctx=ctx) for text in ("a", "b", "c")]

    outs = asyncio.run(three_turns())
    assert [len(call.messages) for call in llm.calls] == [1, 3, 5]
    assert [out.report.spent["output_tokens"] for out in outs] == [1, 1, 1]


def test_trap_4_an_incompatible_pair_of_versions_warns_once(monkeypatch):
    from gainful_llamaindex import versions

    monkeypatch.setattr(versions, "version", lambda name: {"pydantic": "2.14.1", "llama-index-core": "0.14.25"}[name])
    versions.warn_of_known_problems.cache_clear()
    with pytest.warns(UserWarning, match=r"pydantic 2\.14\.1.*loses chat memory.*pip install 'pydantic<2\.14'"):
        versions.warn_of_known_problems()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        versions.warn_of_known_problems()
    versions.warn_of_known_problems.cache_clear()


def test_trap_5_a_tool_cannot_run_uncounted_outside_a_run(searches):
    agent = guard(FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=["x"])), "2/300")
    with pytest.raises(NoLedgerError, match="outside a run"):
        asyncio.run(agent.tools[0].acall(query="q"))
    assert searches.queries == []


def test_trap_5_a_context_without_a_store_raises_and_calls_no_model(searches):
    agent = guard(FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=["x"])), "2/300")
    memory = ChatMemoryBuffer.from_defaults(llm=agent.llm)
    with pytest.raises(NoLedgerError, match="expected a workflow context with a store, found object"):
        asyncio.run(agent.take_step(object(), [], [], memory))
    assert agent.llm.calls == []


def test_trap_5_a_process_that_skips_the_ledger_fails_visibly():
    code = textwrap.dedent("""
        import asyncio
        from llama_index.core.agent.workflow import FunctionAgent
        from gainful_llamaindex import guard
        from gainful_llamaindex.testing import ScriptedLLM

        def search(query: str) -> str:
            "Search."
            print("the tool ran")
            return query

        agent = guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=["x"])), "2/300")
        print(asyncio.run(agent.tools[0].acall(query="q")))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "NoLedgerError" in done.stderr.splitlines()[-1]


def test_trap_6_a_server_that_ignores_the_cap_is_noticed_and_the_run_ends_without_an_exception(
    serve, wire, openai_llm, searches
):
    # 66 of 66 tokens: held 24, so the first cap is 42; the server writes 66 all the same and eats the reserve
    server = serve(wire(tool_calls=[SEARCH], tokens=66, ignores_cap=True))
    agent = guard(
        FunctionAgent(tools=[searches.search], llm=openai_llm(server)), Budget(tool_calls=2, output_tokens=66)
    )
    out = run(agent)
    assert server.caps == [42]
    assert len(server.requests) == 1
    assert out.report.audit_ok is False
    assert [overrun.resource for overrun in out.report.overruns] == ["output_tokens"]
    assert searches.queries == []  # an account in the red starts nothing, not even a tool
    assert str(out).startswith("No answer")
    assert out.report.exit_reason == "budget:output_tokens"


def test_trap_6_an_oversized_answer_is_reported(serve, wire, openai_llm, searches):
    server = serve(wire(text="word " * 400, ignores_cap=True))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server)), "0/100")
    out = run(agent)
    assert server.caps == [100]
    assert (out.report.spent["output_tokens"], out.report.audit_ok) == (400, False)


def test_trap_6_cut_arguments_are_a_failed_step_and_not_a_call(serve, wire, openai_llm, searches):
    long_call = ("search", json.dumps({"query": "a very long query " * 20}))
    server = serve(wire(tool_calls=[long_call], tokens=300), wire(tool_calls=[SEARCH], tokens=10), wire(text="found"))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server, max_tokens=60)), "2/300")
    out = run(agent)
    assert searches.queries == ["Solaris"]
    assert out.report.spent["tool_calls"] == 1
    assert out.report.spent["output_tokens"] == 60 + 10 + 1
    tool_messages = [m for m in server.requests[1]["messages"] if m["role"] == "tool"]
    assert "its arguments were cut off" in tool_messages[0]["content"]


def test_trap_6_usage_that_cannot_be_true_is_no_report(searches):
    for reported in (0, -5):
        llm = ScriptedLLM(script=[Reply(text="two words", reported_tokens=reported)])
        out = run(guard(FunctionAgent(tools=[searches.search], llm=llm), "2/300"))
        assert out.report.spent["output_tokens"] == 255
