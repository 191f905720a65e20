"""The service that serves budgeted agents: what users get, what is refused, and that every run is accounted for."""

import asyncio
import importlib
import json
import logging
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp.test_utils import TestClient, TestServer
from llama_index.core.agent.workflow import FunctionAgent

from gainful.budget import Allowance, Budget
from gainful_llamaindex import NoLedgerError, close_run, guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

RECIPE = Path(__file__).parents[2] / "recipes/serve_agent"
ALLOWANCE = Allowance(default=Budget.parse("2/300"), maximum=Budget(tool_calls=5, output_tokens=1000, seconds=60))


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe, which is a folder and no package; other tests do not see them."""
    names = [file.stem for file in RECIPE.glob("*.py") if file.stem != "__main__"]
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(RECIPE))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    sys.path.remove(str(RECIPE))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(kept)


@pytest.fixture
def serve(recipe, nodes):
    """`async with serve(llm) as (client, service)`: both agents over one model, on a real socket."""

    @asynccontextmanager
    async def start(llm, *, max_running=8, max_waiting=8, wait_seconds=60, grace_seconds=0.2, **runners):
        retriever = recipe.agents.make_retriever(nodes)
        runners = runners or {
            "guarded": recipe.running.AgentRunner(
                recipe.agents.guarded(llm, recipe.agents.search_tool(retriever), ALLOWANCE.default)
            ),
            "search": recipe.running.AgentRunner(recipe.agents.searching(llm, retriever, ALLOWANCE.default)),
        }
        gate = recipe.gate.Gate(max_running, max_waiting, wait_seconds)
        service = recipe.service.Service(runners, ALLOWANCE, gate)
        server = TestServer(recipe.service.application(service, grace_seconds))  # cancels handlers, as the recipe does
        async with TestClient(server) as client:
            yield client, service

    return start


def greedy(messages, tools):
    """Searches as long as it may, every time for something else."""
    return Reply(tools=[("search", {"query": f"query {len(messages)}"})]) if tools else "Tarnholm it is"


def slow(messages, tools):
    return Reply(text="never said", seconds=30)


def go(coroutine, seconds=60):
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


async def until(true, seconds=30):
    deadline = asyncio.get_running_loop().time() + seconds
    while not true():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def ask(client, question="Which town?", **fields):
    response = await client.post("/answer", json={"question": question, **fields})
    return response.status, await response.json()


async def spent(client, axis):
    lines = (await (await client.get("/metrics")).text()).splitlines()
    found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(f'gainful_agent_spent_total{{axis="{axis}"}}')]
    return sum(map(float, found))


def test_a_request_without_a_budget_gets_the_default_and_an_account(serve):
    async def run():
        llm = ScriptedLLM(script=greedy)
        async with serve(llm) as (client, _):
            status, body = await ask(client)
            assert status == 200
            assert body["answer"] == "Tarnholm it is"
            assert (body["stop"], body["violated"], body["answered_by"]) == ("budget:tool_calls", False, "answer")
            assert body["spent"]["tool_calls"] == body["limits"]["tool_calls"] == 2
            assert body["spent"]["output_tokens"] == sum(call.output_tokens for call in llm.calls)
            assert body["limits"]["seconds"] == 60  # the maximum, since the default names none

    go(run())


@pytest.mark.parametrize("agent", ["guarded", "search"])
@pytest.mark.parametrize("calls", [0, 1, 4])
def test_each_request_has_its_own_budget(serve, planner, agent, calls):
    async def run():
        async with serve(planner() if agent == "search" else ScriptedLLM(script=greedy)) as (client, _):
            status, body = await ask(
                client, "Where was the director of Harrow Gate born?", agent=agent, budget=f"{calls}/400"
            )
            assert status == 200
            assert body["spent"].get("tool_calls", 0) <= body["limits"]["tool_calls"] == calls
            assert body["limits"]["output_tokens"] == 400
            assert body["answer"]

    go(run())


def test_a_budget_of_nothing_calls_no_model_and_still_answers(serve):
    async def run():
        llm = ScriptedLLM(script=greedy)
        async with serve(llm) as (client, _):
            for agent in ("guarded", "search"):
                status, body = await ask(client, agent=agent, budget="0/0")
                assert status == 200
                assert body["answer"]
                assert body["spent"].get("output_tokens", 0) == 0
            assert llm.calls == []

    go(run())


def test_many_users_at_once_do_not_mix(serve):
    """Each model reply depends on what was asked, so that an answer to somebody else's question would be seen."""

    def echo(messages, tools):
        asked = next(m.content for m in messages if m.role == "user")
        if tools and messages[-1].role == "user":
            return Reply(tools=[("search", {"query": asked})], seconds=0.01)
        return Reply(text=f"answer to {asked}", seconds=0.01)

    async def run():
        llm = ScriptedLLM(script=echo)
        async with serve(llm, max_running=16, max_waiting=100) as (client, service):
            budgets = [f"{number % 3}/{200 + number}" for number in range(64)]
            asked = [ask(client, f"question {number}", budget=budget) for number, budget in enumerate(budgets)]
            replies = await asyncio.gather(*asked)
            for number, (status, body) in enumerate(replies):
                assert status == 200
                assert body["answer"] == f"answer to question {number}"
                assert body["limits"]["output_tokens"] == 200 + number
                assert body["spent"].get("tool_calls", 0) == min(1, number % 3)
            total = sum(body["spent"]["output_tokens"] for _, body in replies)
            assert total == sum(call.output_tokens for call in llm.calls) == await spent(client, "output_tokens")
            assert (service.gate.running, service.gate.waiting) == (0, 0)

    go(run())


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"not json", 400, "no JSON"),
        (b"[" * 60_000, 400, "no JSON"),
        (b"9" * 5000, 400, "no JSON"),
        (b"[]", 422, "body: "),
        (b"{}", 422, "question: Field required"),
        (b'{"question": ""}', 422, "question: "),
        (b'{"question": "  "}', 422, "question: "),
        (b'{"question": "\\ud800"}', 422, "question: "),
        (b'{"question": 3}', 422, "question: "),
        (json.dumps({"question": "a" * 4001}).encode(), 422, "question: "),
        (b'{"question": "a", "budgt": 1}', 422, "budgt: "),
        (b'{"question": "a", "agent": "serch"}', 422, "did you mean 'search'?; known: guarded, search"),
        (b'{"question": "a", "budget": "6/300"}', 422, "tool_calls must be at most 5, got 6"),
        (b'{"question": "a", "budget": "two"}', 422, "unknown level"),
        (b'{"question": "a", "budget": {"tool_calls": -1}}', 422, "budget.tool_calls: "),
        (b'{"question": "a", "budget": {"seconds": NaN}}', 422, "budget.seconds: "),
        (b'{"question": "a", "budget": {"output_tokens": 1e400}}', 422, "budget.output_tokens: "),
        (b'{"question": "a", "budget": {"money": 1}}', 422, "money is not offered"),
    ],
)
def test_what_cannot_be_served_is_refused_and_says_why(serve, body, status, message):
    async def run():
        llm = ScriptedLLM(script=greedy)
        async with serve(llm) as (client, service):
            response = await client.post("/answer", data=body)
            assert response.status == status
            assert message in (await response.json())["error"]
            assert llm.calls == []
            assert service.gate.running == 0

    go(run())


def test_a_body_that_is_too_large_is_not_read(serve):
    async def run():
        async with serve(ScriptedLLM(script=greedy)) as (client, _):
            response = await client.post("/answer", json={"question": "a" * 100_000})
            assert response.status == 413
            assert "65536 bytes" in (await response.json())["error"]

    go(run())


def test_other_paths_and_methods_are_json_errors_too(serve):
    async def run():
        async with serve(ScriptedLLM(script=greedy)) as (client, _):
            for response, status in ((await client.get("/answer"), 405), (await client.get("/else"), 404)):
                assert response.status == status
                assert (await response.json())["error"]

    go(run())


def test_a_full_service_says_so_at_once_and_when_to_come_again(serve):
    async def run():
        async with serve(ScriptedLLM(script=slow), max_running=2, max_waiting=1) as (client, service):
            waiting = [asyncio.create_task(ask(client)) for _ in range(3)]
            await until(lambda: service.gate.running == 2 and service.gate.waiting == 1)
            response = await client.post("/answer", json={"question": "a"})
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
            assert "2 requests run and 1 wait" in (await response.json())["error"]
            for task in waiting:
                task.cancel()
            await until(lambda: service.gate.running + service.gate.waiting == 0)

    go(run())


def test_who_waits_too_long_is_sent_away(serve):
    async def run():
        async with serve(ScriptedLLM(script=slow), max_running=1, wait_seconds=0.05) as (client, service):
            first = asyncio.create_task(ask(client))
            await until(lambda: service.gate.running == 1)
            status, body = await ask(client)
            assert (status, body["error"]) == (503, "no place got free within 0.05 s")
            first.cancel()
            await until(lambda: service.gate.running == 0)

    go(run())


@pytest.mark.parametrize("agent", ["guarded", "search"])
def test_a_user_who_goes_away_ends_the_run_which_is_charged_in_full(serve, planner, agent):
    async def run():
        llm = planner(answer=slow, propose=slow)
        llm.script = lambda messages, tools: Reply(text="late", seconds=30)
        async with serve(llm, max_running=1) as (client, service):
            gone = asyncio.create_task(ask(client, "Who directed Harrow Gate?", agent=agent, budget="2/400"))
            await until(lambda: llm.calls)
            gone.cancel()
            await until(lambda: service.gate.running == 0)
            # nobody reported what the model wrote, so the whole cap of the call counts
            assert await spent(client, "output_tokens") == llm.calls[0].max_tokens
            assert len(llm.calls) == 1
            assert 'runs_total{exit="cancelled"} 1' in await (await client.get("/metrics")).text()

    go(run())


def test_a_model_that_fails_is_an_error_with_an_account_and_without_the_question(serve, caplog):
    async def run():
        llm = ScriptedLLM(script=[Reply(error="no such host; prompt was: XYZZY")])
        async with serve(llm) as (client, service):
            status, body = await ask(client, "XYZZY", budget="2/300")
            assert status == 502
            assert body["error"] == "the agent failed: RuntimeError"
            # 300 less the 45 that are held for the answer: the failed call may have cost all of its cap
            assert body["spent"]["output_tokens"] == 255
            assert body["stop"] == "cancelled"
            assert service.gate.running == 0

    with caplog.at_level(logging.INFO, logger="gainful"):
        go(run())
    assert "XYZZY" not in "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("gainful"))


def test_a_search_agent_whose_model_fails_answers_from_what_it_found(serve):
    async def run():
        llm = ScriptedLLM(script=[Reply(error="down")])
        async with serve(llm) as (client, _):
            status, body = await ask(client, agent="search", budget="2/300")
            assert status == 200
            assert body["answered_by"] == "abstention"
            assert body["spent"]["output_tokens"] <= 300

    go(run())


def test_who_asks_for_an_error_instead_of_an_answer_gets_it_with_the_account(serve):
    async def run():
        async with serve(ScriptedLLM(script=greedy)) as (client, _):
            status, body = await ask(client, budget={"tool_calls": 1, "on_exhausted": "raise"})
            assert status == 409
            assert body["error"].startswith("budget spent: tool_calls")
            assert body["spent"]["tool_calls"] == 1

    go(run())


def test_a_server_that_ignores_its_cap_is_reported_as_a_violation(serve):
    async def run():
        llm = ScriptedLLM(script=["word " * 500], obeys_cap=False)
        async with serve(llm) as (client, _):
            _, body = await ask(client, budget="0/100")
            assert body["violated"]
            assert "violations_total 1" in await (await client.get("/metrics")).text()

    go(run())


def test_shutting_down_refuses_new_runs_lets_old_ones_end_and_accounts_for_the_rest(serve):
    async def run():
        llm = ScriptedLLM(
            script=lambda messages, tools: Reply(text="done", seconds=0.3 if "quick" in str(messages) else 30)
        )
        async with serve(llm, grace_seconds=3) as (client, service):
            quick, endless = (asyncio.create_task(ask(client, name, budget="0/100")) for name in ("quick", "endless"))
            await until(lambda: service.gate.running == 2)
            closing = asyncio.create_task(client.server.app.shutdown())
            await until(lambda: service.gate.closed)
            assert (await client.get("/health")).status == 503
            status, body = await ask(client, "another")
            assert (status, body["error"]) == (503, "the service is shutting down")
            assert (await quick)[0] == 200
            status, body = await endless
            assert (status, body["error"], body["spent"]["output_tokens"]) == (503, "cancelled", 100)
            await closing
            assert service.gate.running == 0

    go(run())


def test_health_and_metrics(serve):
    async def run():
        async with serve(ScriptedLLM(script=greedy)) as (client, _):
            assert await (await client.get("/health")).json() == {"status": "ok"}
            await ask(client)
            text = await (await client.get("/metrics")).text()
            for line in (
                'gainful_agent_responses_total{status="200"} 1',
                'gainful_agent_runs_total{exit="budget:tool_calls"} 1',
                'gainful_agent_spent_total{axis="tool_calls"} 2',
                "gainful_agent_violations_total 0",
                "gainful_agent_running 0",
            ):
                assert line in text.splitlines()

    go(run())


def test_only_a_run_with_a_budget_can_be_closed(searches):
    agent = FunctionAgent(tools=[searches.search], llm=ScriptedLLM(script=greedy))
    from llama_index.core.workflow import Context

    with pytest.raises(NoLedgerError, match="FunctionAgent"):
        go(close_run(agent, Context(agent)))
    budgeted = guard(agent, "2/300")
    assert go(close_run(budgeted, Context(budgeted))) is None
