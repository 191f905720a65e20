"""A real vLLM server, in its own environment and over real HTTP: caps, usage and aborts. Never quality.

The model has random weights, so it writes noise until its cap; the server's own counters say what it really wrote.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from workflows.errors import WorkflowCancelledByUser

from gainful_llamaindex import BudgetedSearchQueryEngine, guard

REPOSITORY = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("vllm_server", REPOSITORY / "recipes/vllm_server.py")
vllm_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(vllm_server)
EXPECTED = "vllm" in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")

pytestmark = [
    pytest.mark.vllm_http,
    pytest.mark.skipif(
        not vllm_server.PYTHON.exists() and not EXPECTED,
        reason=f"{vllm_server.PYTHON} is not there: make env-vllm, then make test-vllm-http",
    ),
]

LIMITS = ["--max-model-len", "8192", "--max-num-seqs", "8"]
TOOLS = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    model = vllm_server.make_tiny_model(tmp_path_factory.mktemp("vllm") / "model")
    with vllm_server.start(model, *LIMITS, *TOOLS) as running:
        yield running


@pytest.fixture
def llm(server):
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        model="tiny",
        api_base=server.api_base,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        temperature=0,
        timeout=60,
        max_tokens=4000,
        additional_kwargs={"extra_body": {"ignore_eos": True}},
    )


def run(agent, seconds=60, **options):
    async def go():
        return await agent.run("Which town?", **options)

    return asyncio.run(asyncio.wait_for(go(), seconds))


@pytest.mark.parametrize("streaming", [True, False])
def test_the_server_writes_no_more_than_the_cap_and_reports_what_the_ledger_charges(server, llm, searches, streaming):
    before = server.metric("generation_tokens_total")
    out = run(guard(FunctionAgent(tools=[searches.search], llm=llm, streaming=streaming), "2/300"))
    # the model never stops by itself: all of the step's cap is written, 300 less the 45 that are held for the answer
    assert out.report.spent["output_tokens"] == 255
    assert server.metric("generation_tokens_total") - before == 255
    assert [step.usage for step in out.report.trace.steps] == ["reported"]
    assert out.report.audit_ok


def test_an_agent_that_is_cancelled_leaves_nothing_running(server, llm, searches):
    agent = guard(FunctionAgent(tools=[searches.search], llm=llm), "2/7000")

    async def go():
        handler = agent.run("Which town?")
        await asyncio.to_thread(server.wait_for, "num_requests_running", 1)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        return await handler.ctx.store.get(agent.guard_settings().key)

    state = asyncio.run(asyncio.wait_for(go(), 60))
    server.wait_for("num_requests_running", 0)
    assert state.ledger.open_reservations == ()
    assert state.ledger.spent()["output_tokens"] <= 7000


def test_a_deadline_aborts_the_request_at_the_server(server, llm, searches):
    before = server.metric("generation_tokens_total")
    patient = llm.model_copy(update={"max_tokens": 7000})  # far more than any CPU writes of it in time
    agent = guard(FunctionAgent(tools=[searches.search], llm=patient), {"seconds": 1, "output_tokens": 9000})
    out = run(agent)
    server.wait_for("num_requests_running", 0)
    assert out.report.exit_reason == "deadline"
    assert server.metric("generation_tokens_total") - before < 7000


def test_a_query_engine_runs_end_to_end(server, llm, nodes):
    before = server.metric("generation_tokens_total")
    engine = BudgetedSearchQueryEngine.from_defaults(nodes=nodes, llm=llm, budget="2/300", k=2)
    response = engine.query("Where was the director of the film Velmar Crossing born?")
    report = response.metadata["budget"]
    assert report["audit_ok"]
    assert server.metric("generation_tokens_total") - before == report["spent"]["output_tokens"] <= 300
    assert report["spent"]["tool_calls"] <= 2
    assert str(response)


def test_the_benchmark_asks_a_real_server_once_and_replays_it(server, tmp_path):
    """Random weights answer nothing right; what is checked is caps as the server kept them, and the store."""
    films = {"Velmar Crossing": "Oda Brinnel", "Harrow Gate": "Pell Aston"}
    texts = {film: f"{film} is a film directed by {who}." for film, who in films.items()}
    texts |= {who: f"{who} was born in Ilvane." for who in films.values()}
    paragraphs = [{"title": title, "text": text} for title, text in texts.items()]
    records = [
        {
            "id": film,
            "type": None,
            "question": f"Where was the director of the film {film} born?",
            "answers": ["Ilvane"],
            "paragraphs": paragraphs,
            "gold": {"titles": [film, who]},
        }
        for film, who in films.items()
    ]
    (tmp_path / "hotpotqa_eval.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    store = tmp_path / "store.jsonl"
    methods = ["one-shot RAG", "spend-all", "guarded FunctionAgent", "guarded ReActAgent", "VOI", "VOI, agent"]

    def command(*arguments):
        line = [sys.executable, REPOSITORY / "recipes/bench/budget_online", *arguments, "--data", tmp_path]
        done = subprocess.run([*line, "--store", store, "--out", tmp_path], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return [row for row in done.stdout.splitlines() if row.startswith("|")]

    before = server.metric("generation_tokens_total")
    where = ["--api-base", server.api_base, "--model", "tiny", "--local", "--yes", "--sets", "hotpotqa"]
    live = command("run", *where, "--budgets", "1/100", "2/300", "--methods", *methods)
    assert len(live) > len(methods)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["audit_failures"] == 0
    usages = [json.loads(line).get("response", {}).get("usage", {}) for line in store.read_text().splitlines()]
    assert (
        sum(usage.get("completion_tokens", 0) for usage in usages) == server.metric("generation_tokens_total") - before
    )
    asked = server.metric("request_success_total")
    assert command("replay") == live
    assert command("run", *where, "--budgets", "1/100", "2/300", "--methods", *methods) == live
    assert server.metric("request_success_total") == asked
