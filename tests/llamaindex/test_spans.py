"""What a tracing back end sees: the host's spans, one span per decision, one per model call."""

import asyncio
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("openinference.instrumentation.llama_index")

import tomllib
from llama_index.core.agent.workflow import FunctionAgent
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from packaging.requirements import Requirement

from gainful_llamaindex import BudgetedSearchAgent, guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

QUESTION = "Where was the director of the film Velmar Crossing born?"


@pytest.fixture
def exporter():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    LlamaIndexInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    LlamaIndexInstrumentor().uninstrument()


def run(agent):
    async def go():
        return await agent.run(QUESTION)

    return asyncio.run(asyncio.wait_for(go(), 20))


def tree(spans):
    """The spans in order of their start, indented by depth; the host's plumbing left out."""
    by_id = {span.context.span_id: span for span in spans}
    plumbing = (
        "init_run",
        "setup_agent",
        "parse_agent_output",
        "aggregate_tool_results",
        "._retrieve",
        "run_agent_step",
    )

    def depth(span):
        parent = by_id.get(span.parent.span_id) if span.parent else None
        return 0 if parent is None else depth(parent) + 1

    shown = sorted(spans, key=lambda span: span.start_time)
    return ["  " * depth(span) + span.name for span in shown if not span.name.endswith(plumbing)]


def test_a_search_agent_shows_decisions_searches_and_model_calls(exporter, nodes, planner):
    out = run(BudgetedSearchAgent.from_defaults(nodes=nodes, llm=planner(), budget="1/100", k=2))
    assert tree(exporter.get_finished_spans()) == [
        "BudgetedSearchAgent.run",
        "    budget_decision",
        "  BaseWorkflowAgent.call_tool",
        "    SearchTool.acall",
        "      BM25Retriever.aretrieve",
        "    budget_decision",
        "    ScriptedLLM.astream_chat",
    ]
    decisions = [span for span in exporter.get_finished_spans() if span.name == "budget_decision"]
    assert len(decisions) == out.report.num_decisions
    first = dict(decisions[0].attributes)
    assert first["gainful.budget.action"] == "SEARCH"
    assert first["gainful.budget.query"] == QUESTION
    assert first["gainful.budget.left.tool_calls"] == 1
    assert {f"gainful.budget.{name}" for name in ("u", "d", "r", "s", "rho")} <= set(first)


def test_a_guarded_agent_has_the_spans_of_its_agent_and_no_more(exporter):
    def search(query: str) -> str:
        """Search."""
        return query

    def names(agent):
        exporter.clear()
        run(agent)
        return [span.name.removeprefix("Guarded") for span in exporter.get_finished_spans()]

    script = [Reply(tools=[("search", {"query": "a"})]), "done"]
    bare = names(FunctionAgent(tools=[search], llm=ScriptedLLM(script=script)))
    guarded = names(guard(FunctionAgent(tools=[search], llm=ScriptedLLM(script=script)), "2/300"))
    assert guarded == bare
    assert guarded.count("ScriptedLLM.astream_chat") == 2


def test_the_extra_asks_for_what_was_tried_here():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in project["optional-dependencies"]["otel"]]
    assert {one.name for one in asked} == {"openinference-instrumentation-llama-index", "opentelemetry-sdk"}
    assert all(one.specifier.contains(version(one.name)) for one in asked)
