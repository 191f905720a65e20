"""`guard()` with a scripted model: limits hold, the host's loop goes on as before, and it ends with an answer."""

import asyncio

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.workflow import Context
from llama_index.core.workflow.errors import WorkflowRuntimeError

from gainful.budget import Budget, PriceTable
from gainful.errors import ConfigError
from gainful_llamaindex import BudgetExceededError, GainfulBudgetError, UnsupportedAgentError, guard
from gainful_llamaindex.run_state import BUDGET_KEY
from gainful_llamaindex.testing import Reply, ScriptedLLM


def batch(*queries, tool="search"):
    return Reply(tools=[(tool, {"query": query}) for query in queries])


def insatiable(messages, tools):
    """Searches for something new as long as it may."""
    return batch(f"query {len(messages)}") if tools else "the answer"


def function_agent(searches, script, **options):
    return FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=script), **options)


def run(agent, question="why?", **options):
    async def go():
        return await agent.run(question, **options)

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_a_guarded_agent_is_an_agent_of_its_class_and_the_original_is_untouched(searches):
    agent = function_agent(searches, insatiable)
    guarded = guard(agent, "2/300")
    assert isinstance(guarded, FunctionAgent)
    assert type(agent) is FunctionAgent
    assert [tool.metadata.name for tool in agent.tools] == ["search"]


def test_calls_stop_at_the_limit_and_the_answer_is_asked_without_tools(searches):
    agent = guard(function_agent(searches, insatiable), "2/300")
    out = run(agent)
    assert str(out) == "the answer"
    assert len(searches.queries) == 2
    assert out.report.spent["tool_calls"] == 2
    assert out.report.exit_reason == "budget:tool_calls"
    assert [call.tools for call in agent.llm.calls] == [["search"], ["search"], []]


def test_exactly_the_affordable_calls_of_a_batch_run_and_every_id_gets_one_result(searches):
    agent = guard(function_agent(searches, [batch("a", "b", "c"), "done"]), Budget(tool_calls=2))
    out = run(agent)
    assert searches.queries == ["a", "b"]
    results = {m.additional_kwargs["tool_call_id"]: m.content for m in agent.llm.calls[1].messages if m.role == "tool"}
    assert sorted(results) == ["call_1_0", "call_1_1", "call_1_2"]
    assert results["call_1_2"].startswith("search was not called: the budget does not allow it")
    assert out.report.spent["tool_calls"] == 2


def test_an_agent_that_stops_by_itself_is_not_disturbed(searches):
    agent = guard(function_agent(searches, [batch("a"), "the answer"]), "5/1000")
    out = run(agent)
    assert out.report.exit_reason == "answered"
    assert [len(call.messages) for call in agent.llm.calls] == [1, 3]  # no notice, no extra call
    # words: a name and two of JSON for the call, two for the answer
    assert out.report.spent["output_tokens"] == 5


def test_the_answer_gets_what_was_held_for_it_after_a_talkative_step(searches):
    agent = guard(
        function_agent(searches, lambda m, tools: "word " * 500 if tools else "short"), Budget(output_tokens=200)
    )
    out = run(agent)
    # held: ceil(0.15 * 200) = 30; the first step ends by itself at its cap of 170, and is the answer
    assert [call.max_tokens for call in agent.llm.calls] == [170]
    assert out.report.spent["output_tokens"] == 170


def test_a_step_below_the_token_floor_becomes_the_answer(searches):
    script = [Reply(text="word " * 90, tools=[("search", {"query": "a"})]), "short"]
    agent = guard(function_agent(searches, script), Budget(output_tokens=130))
    out = run(agent)
    # held: 24; first step 106 of which 93 are used; left 37, so 13 for a step: below the floor of 16
    assert [(call.max_tokens, call.tools) for call in agent.llm.calls] == [(106, ["search"]), (37, [])]
    assert out.report.exit_reason == "budget:output_tokens"


def test_the_callers_own_smaller_cap_is_kept(searches):
    agent = function_agent(searches, ["hello"])
    agent.llm.max_tokens = 20
    guarded = guard(agent, "2/300")
    run(guarded)
    assert guarded.llm.calls[0].max_tokens == 20


def test_without_a_limit_on_tokens_no_cap_is_sent(searches):
    agent = guard(function_agent(searches, ["hello"]), Budget(tool_calls=1))
    run(agent)
    assert agent.llm.calls[0].max_tokens == 4096


def test_no_budget_at_all_still_answers_without_a_model(searches):
    agent = guard(function_agent(searches, insatiable), Budget(tool_calls=0, output_tokens=0))
    out = run(agent)
    assert str(out).startswith("No answer")
    assert agent.llm.calls == []
    assert out.report.exit_reason == "budget:output_tokens"


def test_zero_calls_is_an_answer_at_once(searches):
    agent = guard(function_agent(searches, insatiable), "0/100")
    assert str(run(agent)) == "the answer"
    assert searches.queries == []


def test_calls_of_tools_in_the_last_step_are_dropped_and_the_fallback_answers(searches):
    agent = guard(function_agent(searches, lambda m, tools: batch("again")), "1/300")

    async def two_turns():
        ctx = Context(agent)
        first = await agent.run("why?", ctx=ctx)
        memory = await ctx.store.get("memory")
        return first, await memory.aget_all()

    out, history = asyncio.run(two_turns())
    assert "passage 1 about again" in str(out)
    assert searches.queries == ["again"]
    assert out.tool_calls == [] or all(call.tool_name == "search" for call in out.tool_calls)
    # no call without a result stays in the history
    assert history[-1].content == str(out)
    assert sum(message.role == "tool" for message in history) == 1


def test_limits_of_single_tools_hold_and_exhausted_tools_are_not_offered(searches):
    async def lookup(query: str) -> str:
        """Look a title up."""
        return query

    def script(messages, tools):
        return batch("x", tool=tools[0]) if tools else "done"

    llm = ScriptedLLM(script=script)
    agent = guard(FunctionAgent(tools=[searches.search, lookup], llm=llm), Budget(tool_calls=3, per_tool={"search": 1}))
    out = run(agent)
    assert [call.tools for call in llm.calls] == [["search", "lookup"], ["lookup"], ["lookup"], []]
    assert len(searches.queries) == 1
    assert out.report.spent["tool:search"] == 1


def test_free_tools_cost_nothing(searches):
    def clock() -> str:
        """Tell the time."""
        return "noon"

    script = [Reply(tools=[("clock", {})]), Reply(tools=[("clock", {})]), batch("a"), "done"]
    agent = FunctionAgent(tools=[searches.search, clock], llm=ScriptedLLM(script=script))
    out = run(guard(agent, Budget(tool_calls=1), free_tools=["clock"]))
    assert out.report.spent["tool_calls"] == 1
    assert searches.queries == ["a"]


@pytest.mark.parametrize(
    ("policy", "calls", "second"),
    [
        ("allow", 2, "passage 2 about a"),
        ("refuse", 1, "search was not called: the same call was made before"),
        ("cached", 1, "passage 1 about a"),
    ],
)
def test_repeated_calls(searches, policy, calls, second):
    agent = guard(function_agent(searches, [batch("a"), batch("a"), "done"]), "5/1000", repeat_calls=policy)
    out = run(agent)
    assert len(searches.queries) == calls == out.report.spent["tool_calls"]
    assert [m.content for m in agent.llm.calls[2].messages if m.role == "tool"][1].startswith(second)


def test_failing_tools_cost_a_call():
    def broken(query: str) -> str:
        """Search."""
        raise OSError("index is gone")

    agent = FunctionAgent(tools=[broken], llm=ScriptedLLM(script=[batch("a", tool="broken"), "done"]))
    out = run(guard(agent, "2/300"))
    assert out.report.spent["tool_calls"] == 1
    assert str(out) == "done"


def test_tools_that_want_the_context_get_it():
    async def remember(ctx: Context, note: str) -> str:
        """Write a note."""
        await ctx.store.set("note", note)
        return "noted"

    agent = guard(
        FunctionAgent(tools=[remember], llm=ScriptedLLM(script=[Reply(tools=[("remember", {"note": "x"})]), "ok"])),
        "2/300",
    )

    async def go():
        ctx = Context(agent)
        await agent.run("note x", ctx=ctx)
        return await ctx.store.get("note")

    assert asyncio.run(go()) == "x"


def test_the_hosts_own_step_limit_is_one_more_axis(searches):
    agent = function_agent(searches, insatiable)
    with pytest.raises(WorkflowRuntimeError, match="Max iterations"):
        run(agent, max_iterations=4)
    out = run(guard(agent, Budget(tool_calls=50)), max_iterations=4)
    # the host raises at the end of the fourth step, so the third is the last
    assert out.report.spent["host_steps"] == 3
    assert out.report.exit_reason == "budget:host_steps"


def test_a_loop_too_short_to_answer_in_is_refused(searches):
    with pytest.raises(GainfulBudgetError, match="max_iterations must be at least 2"):
        run(guard(function_agent(searches, insatiable), "2/300"), max_iterations=1)


def test_raise_on_exhaustion_gives_the_report(searches):
    agent = guard(function_agent(searches, insatiable), "2/300", on_exhausted="raise")
    with pytest.raises(BudgetExceededError, match="tool_calls: limit 2") as caught:
        run(agent)
    assert caught.value.resource == "tool_calls"
    assert caught.value.report.spent["tool_calls"] == 2


def test_the_notice_can_be_changed_and_turned_off(searches):
    agent = guard(function_agent(searches, insatiable), "1/300", notice="Answer now.")
    run(agent)
    assert "Answer now." in [m.content for m in agent.llm.calls[-1].messages]
    silent = guard(function_agent(searches, insatiable), "1/300", notice=None)
    run(silent)
    assert [m.role.value for m in silent.llm.calls[-1].messages] == ["user", "assistant", "tool"]


def test_a_forced_tool_choice_is_dropped_where_no_tool_is_offered(searches):
    agent = guard(function_agent(searches, insatiable, initial_tool_choice="search"), "0/100")
    assert str(run(agent)) == "the answer"
    assert agent.llm.calls[0].tool_choice is None
    offered = guard(function_agent(searches, insatiable, initial_tool_choice="search"), "1/100")
    run(offered)
    assert [call.tool_choice for call in offered.llm.calls] == ["search", None]


def test_a_choice_that_names_no_tool_is_kept_while_there_are_tools(searches):
    agent = guard(function_agent(searches, insatiable, initial_tool_choice="required"), "1/100")
    run(agent)
    assert [call.tool_choice for call in agent.llm.calls] == ["required", None]
    agent = guard(function_agent(searches, insatiable, initial_tool_choice="required"), "0/100")
    run(agent)
    assert [call.tool_choice for call in agent.llm.calls] == [None]


def test_react_agents_are_guarded_too(searches):
    def script(messages, tools):
        asked = sum("Observation" in (m.content or "") for m in messages)
        if "further tool" in " ".join(m.content or "" for m in messages):
            return "Thought: enough\nAnswer: forty two"
        return f'Thought: search\nAction: search\nAction Input: {{"query": "q{asked}"}}'

    agent = ReActAgent(tools=[searches.search], llm=ScriptedLLM(script=script, is_function_calling_model=False))
    guarded = guard(agent, "2/400")
    out = run(guarded)
    assert isinstance(guarded, ReActAgent)
    assert str(out) == "forty two"
    assert len(searches.queries) == 2
    assert out.report.audit_ok


def test_a_react_agent_that_insists_on_calling_gets_the_fallback(searches):
    script = ['Thought: search\nAction: search\nAction Input: {"query": "q"}']
    agent = ReActAgent(tools=[searches.search], llm=ScriptedLLM(script=script, is_function_calling_model=False))
    out = run(guard(agent, "1/400"))
    assert "passage 1 about q" in str(out)
    assert len(searches.queries) == 1


def test_prices_make_money_a_limit(searches):
    prices = PriceTable(output=1_000_000, per_tool={"search": 10})  # a unit of currency per token
    agent = guard(function_agent(searches, insatiable), Budget(money=400), prices=prices)
    out = run(agent)
    assert 0 < len(searches.queries) < 40
    assert out.report.spent["money"] <= 400
    with pytest.raises(ConfigError, match="needs prices"):
        guard(function_agent(searches, insatiable), Budget(money=400))


def test_input_tokens_are_limited_by_their_estimate(searches):
    agent = guard(function_agent(searches, insatiable), Budget(input_tokens=600))
    out = run(agent)
    assert out.report.exit_reason == "budget:input_tokens"
    assert str(out)


def test_limits_of_a_context_on_input_tokens_are_estimated_too(searches):
    agent = guard(function_agent(searches, insatiable), "9/900")

    async def go():
        ctx = Context(agent)
        await ctx.store.set(BUDGET_KEY, {"input_tokens": 60, "tool_calls": 9})
        return await agent.run("why?", ctx=ctx)

    out = asyncio.run(asyncio.wait_for(go(), 10))
    # question, schema and margin do not fit beside what is held for the answer
    assert out.report.exit_reason == "budget:input_tokens"
    assert out.report.spent.get("input_tokens", 0) <= 60


def test_what_could_not_be_counted_is_refused(searches):
    class Form(BaseModel):
        answer: str

    with pytest.raises(UnsupportedAgentError, match="output_cls"):
        guard(function_agent(searches, insatiable, output_cls=Form), "2/300")
    with pytest.raises(UnsupportedAgentError, match="structured_output_fn"):
        guard(function_agent(searches, insatiable, structured_output_fn=lambda messages: {}), "2/300")
    with pytest.raises(UnsupportedAgentError, match="CodeActAgent"):
        guard(CodeActAgent(code_execute_fn=lambda code: code, llm=ScriptedLLM(script=["x"])), "2/300")
    with pytest.raises(UnsupportedAgentError, match="expected a LlamaIndex workflow agent, got str"):
        guard("agent", "2/300")
    with pytest.raises(UnsupportedAgentError, match="guarded already"):
        guard(guard(function_agent(searches, insatiable), "2/300"), "2/300")


def test_a_workflow_of_one_guarded_agent_behaves_like_the_agent(searches):
    agent = guard(function_agent(searches, insatiable), "2/300")
    out = run(AgentWorkflow(agents=[agent]))
    assert str(out) == "the answer"
    assert out.report.spent["tool_calls"] == 2
