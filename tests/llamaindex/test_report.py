"""What a user sees of a run: a table, a page, plain data."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent

from gainful_llamaindex import BudgetedAgentOutput, BudgetedSearchAgent, guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

QUESTION = "Where was the director of the film <i>Velmar</i> Crossing born?"


@pytest.fixture(params=["guarded", "search agent"])
def out(request, nodes, planner):
    def search(query: str) -> str:
        """Search."""
        return f"<script>alert(1)</script> {query}"

    script = [Reply(tools=[("search", {"query": "a"})]), "Tarnholm"]
    agent = (
        guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=script)), "2/300")
        if request.param == "guarded"
        else BudgetedSearchAgent.from_defaults(nodes=nodes, llm=planner(), budget="2/300", k=2)
    )

    async def go():
        return await agent.run(QUESTION)

    return asyncio.run(asyncio.wait_for(go(), 10))


def test_the_table_has_a_line_a_step_and_the_accounts(out):
    lines = out.report.table().splitlines()
    steps = [line for line in lines if line.startswith("[")]
    assert len(steps) == len(out.report.trace.steps) >= 2
    assert all(len(line) <= 140 for line in steps)
    assert any(line.startswith("tool_calls") for line in lines)
    assert lines[-1] == "answer: Tarnholm"


def test_the_page_is_self_contained_and_escaped(out, tmp_path):
    path = tmp_path / "run.html"
    out.report.to_html(str(path))
    page = path.read_text()
    assert len(page) < 200_000
    assert "<script" not in page
    assert "<i>Velmar" not in page
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert out.report._repr_html_() in page


def test_the_report_survives_json(out):
    again = BudgetedAgentOutput.model_validate(json.loads(json.dumps(out.model_dump(mode="json"))))
    assert again.report == out.report
    assert again.report.table() == out.report.table()


def test_the_report_as_text_is_the_answer_and_what_it_took(out):
    answer, line = str(out.report).splitlines()
    assert answer == "Tarnholm"
    assert line.endswith("audit ok")
    assert f"calls {out.report.spent['tool_calls']:g}/2" in line


def test_limits_and_what_is_left_are_read_by_axis(out):
    report = out.report
    assert report.limits["tool_calls"] == 2
    assert report.limits["output_tokens"] == 300
    assert report.left["tool_calls"] == 2 - report.spent["tool_calls"]
    assert report.left["output_tokens"] == 300 - report.spent["output_tokens"]


def test_a_host_that_prints_what_it_carries_prints_no_run(out):
    assert len(repr(out.report)) < 200
