"""Guarded runs beside each other, stopped, stored and handed over."""

import asyncio
import json
import time

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.workflow import Context
from llama_index.core.workflow.errors import WorkflowCancelledByUser, WorkflowTimeoutError

from gainful.budget import Budget
from gainful_llamaindex import BudgetedAgentOutput, guard, guard_workflow
from gainful_llamaindex.run_state import BUDGET_KEY
from gainful_llamaindex.testing import Reply, ScriptedLLM


def insatiable(messages, tools):
    return Reply(tools=[("search", {"query": f"query {len(messages)}"})]) if tools else "the answer"


def agent_with(searches, script=insatiable, budget="2/300", **options):
    return guard(FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=script)), budget, **options)


def limit_of(out, axis):
    return next(use.limit for use in out.report.axes if use.axis == axis)


async def ledger_of(agent, ctx):
    return (await ctx.store.get(agent.guard_settings().key)).ledger


def test_twenty_concurrent_runs_of_one_agent_keep_twenty_budgets():
    async def search(query: str) -> str:
        """Search."""
        await asyncio.sleep(0.001)
        return query

    agent = guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=insatiable)), "9/900")

    async def one(calls):
        ctx = Context(agent)
        await ctx.store.set(BUDGET_KEY, f"{calls}/{100 + 50 * calls}")
        return await agent.run(f"question {calls}", ctx=ctx)

    async def all_runs():
        return await asyncio.gather(*(one(calls % 7) for calls in range(20)))

    for number, out in enumerate(asyncio.run(all_runs())):
        assert limit_of(out, "tool_calls") == number % 7 == out.report.spent.get("tool_calls", 0)
        assert out.report.spent["output_tokens"] <= limit_of(out, "output_tokens")
        assert out.report.audit_ok


def test_a_cancelled_run_leaves_settled_accounts(searches):
    agent = agent_with(searches, script=[Reply(text="late", seconds=30)])

    async def go():
        ctx = Context(agent)
        handler = agent.run("q", ctx=ctx)
        while not agent.llm.calls:
            await asyncio.sleep(0.01)
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        await asyncio.sleep(0.05)
        return await ledger_of(agent, ctx)

    ledger = asyncio.run(asyncio.wait_for(go(), 10))
    assert ledger.open_reservations == ()
    assert ledger.spent()["output_tokens"] == 255  # the call had started


def test_a_run_cancelled_in_a_tool_leaves_settled_accounts():
    started = asyncio.Event()

    async def search(query: str) -> str:
        """Search."""
        started.set()
        await asyncio.sleep(30)
        return query

    agent = guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=insatiable)), "2/300")

    async def go():
        ctx = Context(agent)
        handler = agent.run("q", ctx=ctx)
        await started.wait()
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        await asyncio.sleep(0.05)
        return await ledger_of(agent, ctx)

    ledger = asyncio.run(asyncio.wait_for(go(), 10))
    assert ledger.open_reservations == ()
    assert ledger.spent()["tool_calls"] == 1


def test_the_hosts_timeout_leaves_settled_accounts(searches):
    inner = FunctionAgent(
        tools=[searches.search], llm=ScriptedLLM(script=[Reply(text="late", seconds=30)]), timeout=0.2
    )
    agent = guard(inner, "2/300")

    async def go():
        ctx = Context(agent)
        with pytest.raises(WorkflowTimeoutError):
            await agent.run("q", ctx=ctx)
        await asyncio.sleep(0.05)
        return await ledger_of(agent, ctx)

    ledger = asyncio.run(asyncio.wait_for(go(), 10))
    assert ledger.open_reservations == ()
    assert ledger.spent()["output_tokens"] == 255


def test_a_slow_model_is_stopped_at_the_deadline_and_the_answer_has_its_own_time(searches):
    def script(messages, tools):
        return Reply(text="late", seconds=30) if tools else "in time"

    agent = agent_with(searches, script, Budget(seconds=2.5, tool_calls=2))
    started = time.monotonic()
    out = asyncio.run(asyncio.wait_for(_run(agent), 10))
    assert str(out) == "in time"
    assert out.report.exit_reason == "deadline"
    assert time.monotonic() - started < 5


def test_an_answer_that_never_comes_is_replaced_by_the_fallback(searches):
    agent = agent_with(searches, [Reply(text="late", seconds=30)], Budget(seconds=0.3, tool_calls=2))
    out = asyncio.run(asyncio.wait_for(_run(agent), 10))
    assert str(out).startswith("No answer")
    assert out.report.exit_reason == "deadline"


def test_a_slow_tool_is_stopped_and_says_so():
    async def search(query: str) -> str:
        """Search."""
        await asyncio.sleep(30)
        return query

    agent = guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=insatiable)), Budget(seconds=2.5, tool_calls=2))
    out = asyncio.run(asyncio.wait_for(_run(agent), 10))
    assert str(out) == "the answer"
    tool_messages = [m.content for m in agent.llm.calls[-1].messages if m.role == "tool"]
    assert tool_messages == ["search was stopped: the time for tools is over. Answer from what you have."]


async def _run(agent):
    return await agent.run("q")


def test_a_run_stored_in_the_middle_goes_on_with_the_same_ledger(searches):
    agent = agent_with(searches, budget="3/500")

    async def go():
        ctx = Context(agent)
        handler = agent.run("q", ctx=ctx)
        async for event in handler.stream_events():
            if type(event).__name__ == "ToolCallResult":
                break
        stored = json.dumps(ctx.to_dict())
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        before = len(searches.queries)
        restored = Context.from_dict(agent, json.loads(stored))
        out = await agent.run(ctx=restored)
        return before, out

    before, out = asyncio.run(asyncio.wait_for(go(), 10))
    assert isinstance(out, BudgetedAgentOutput)
    assert before == 1
    assert out.report.spent["tool_calls"] == 3
    assert len(searches.queries) <= 4  # a call that was under way when the run was stored may be made again
    assert out.report.exit_reason == "budget:tool_calls"


def test_a_run_stored_inside_a_model_call_charges_that_call_and_goes_on(searches):
    def script(messages, tools):
        slow = len(agent.llm.calls) == 0
        return Reply(text="the answer", seconds=30 if slow else 0)

    agent = agent_with(searches, script, budget="2/400")

    async def go():
        ctx = Context(agent)
        handler = agent.run("q", ctx=ctx)
        while not agent.llm.calls:
            await asyncio.sleep(0.01)
        stored = json.dumps(ctx.to_dict())
        await handler.cancel_run()
        with pytest.raises((WorkflowCancelledByUser, asyncio.CancelledError)):
            await handler
        return await agent.run(ctx=Context.from_dict(agent, json.loads(stored)))

    out = asyncio.run(asyncio.wait_for(go(), 10))
    # held 60: 340 for the first call, lost with it; what is left is the answer's
    assert [call.max_tokens for call in agent.llm.calls] == [340, 60]
    assert out.report.spent["output_tokens"] == 342
    assert str(out) == "the answer"


def team(searches, *, guarded_first=True, guarded_second=True, budget="1/300"):
    def first(messages, tools):
        if "handoff" in tools:
            return Reply(tools=[("handoff", {"to_agent": "second", "reason": "it knows"})])
        return "first answers"

    def second(messages, tools):
        return Reply(tools=[("search", {"query": f"q{len(messages)}"})]) if "search" in tools else "second answers"

    one = FunctionAgent(name="first", description="asks", tools=[searches.search], llm=ScriptedLLM(script=first))
    two = FunctionAgent(
        name="second", description="knows", tools=[searches.search], can_handoff_to=[], llm=ScriptedLLM(script=second)
    )
    agents = [guard(one, budget) if guarded_first else one, guard(two, budget) if guarded_second else two]
    return AgentWorkflow(agents=agents, root_agent="first")


@pytest.mark.parametrize(("guarded_first", "guarded_second"), [(True, True), (False, True)])
def test_a_guarded_agent_can_be_the_target_of_a_handoff(searches, guarded_first, guarded_second):
    workflow = team(searches, guarded_first=guarded_first, guarded_second=guarded_second)
    out = asyncio.run(asyncio.wait_for(_run(workflow), 10))
    assert str(out) == "second answers"
    assert len(searches.queries) == 1
    assert out.report.spent["tool_calls"] == 1
    assert out.current_agent_name == "second"


def test_a_guarded_agent_can_be_the_source_of_a_handoff_which_is_free(searches):
    workflow = team(searches, guarded_second=False)
    second = workflow.agents["second"]
    second.llm.script = ["second answers"]
    out = asyncio.run(asyncio.wait_for(_run(workflow), 10))
    assert str(out) == "second answers"
    assert not isinstance(out, BudgetedAgentOutput)


def test_a_guarded_workflow_has_one_budget_for_all_its_agents(searches):
    plain = team(searches, guarded_first=False, guarded_second=False)
    workflow = guard_workflow(plain, "1/300")
    out = asyncio.run(asyncio.wait_for(_run(workflow), 10))
    assert str(out) == "second answers"
    assert len(searches.queries) == 1
    # three steps: the handoff, the search, the answer, all on one account
    assert out.report.spent["host_steps"] == 3
    assert [record.action for record in out.report.trace.steps] == ["STEP", "STEP", "TOOL", "ANSWER"]
    assert not any(hasattr(agent, "guard_settings") for agent in plain.agents.values())


def test_turns_in_a_workflow_start_afresh(searches):
    workflow = team(searches)

    async def two_turns():
        ctx = Context(workflow)
        return [await workflow.run(text, ctx=ctx) for text in ("a", "b")]

    outs = asyncio.run(asyncio.wait_for(two_turns(), 10))
    assert [out.report.spent["tool_calls"] for out in outs] == [1, 1]


def test_steps_of_other_agents_come_out_of_the_hosts_loop_all_the_same(searches):
    """first hands off, second searches and hands back: of five iterations the fourth is the last that may answer."""

    def first(messages, tools):
        if "search" not in tools:
            return "first answers"
        asked = any("knows nothing" in (message.content or "") for message in messages)
        handoff = Reply(tools=[("handoff", {"to_agent": "second", "reason": "it may know"})])
        return Reply(tools=[("search", {"query": f"q{len(messages)}"})]) if asked else handoff

    def second(messages, tools):
        searched = any(message.role == "tool" and "passage" in (message.content or "") for message in messages)
        back = Reply(tools=[("handoff", {"to_agent": "first", "reason": "second knows nothing"})])
        return back if searched else Reply(tools=[("search", {"query": "x"})])

    def make(name, script):
        return FunctionAgent(name=name, description=name, tools=[searches.search], llm=ScriptedLLM(script=script))

    agents = [guard(make("first", first), Budget(tool_calls=9)), make("second", second)]
    workflow = AgentWorkflow(agents=agents, root_agent="first")

    async def go():
        return await workflow.run("q", max_iterations=5)

    out = asyncio.run(asyncio.wait_for(go(), 10))
    assert str(out) == "first answers"
    assert out.report.exit_reason == "budget:host_steps"
    assert out.report.spent["host_steps"] == 4
