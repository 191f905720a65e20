"""Capped copies of one model share one HTTP client in an event loop, and only there."""

import asyncio
import gc

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import base
from llama_index.llms.openai_like import OpenAILike

from gainful_llamaindex import BudgetedSearchQueryEngine, guard
from gainful_llamaindex.clients import Clients
from gainful_llamaindex.testing import ScriptedLLM
from gainful_llamaindex.token_caps import capped


@pytest.fixture
def made(monkeypatch):
    """Every client that LlamaIndex makes, in order."""
    clients = []

    class Counted(base.AsyncOpenAI):
        def __init__(self, **options):
            clients.append(self)
            super().__init__(**options)

    monkeypatch.setattr(base, "AsyncOpenAI", Counted)
    return clients


def model(**options):
    return OpenAILike(model="m", api_base="http://127.0.0.1:1/v1", api_key="none", is_chat_model=True, **options)


def test_copies_in_one_loop_share_a_client_and_those_of_another_do_not():
    clients, llm = Clients(), model()

    async def two():
        return [clients.lend(capped(llm, cap)) for cap in (5, 6)]

    first, second = asyncio.run(two())
    assert first._aclient is second._aclient is not None
    assert (first.max_tokens, second.max_tokens) == (5, 6)
    assert asyncio.run(two())[0]._aclient is not first._aclient
    assert llm._aclient is None


def test_loops_that_are_closed_are_forgotten():
    clients, llm = Clients(), model()

    async def one():
        clients.lend(capped(llm, 5))

    for _ in range(5):
        asyncio.run(one())
    gc.collect()
    assert len(clients._by_loop) == 1


@pytest.mark.parametrize("llm", [ScriptedLLM(script=["a"]), model(reuse_client=False)])
def test_a_model_that_makes_none_or_must_not_reuse_it_is_left_alone(llm):
    async def lent():
        return Clients().lend(llm)

    assert asyncio.run(lent()) is llm
    assert getattr(llm, "_aclient", None) is None


def test_the_users_own_client_is_kept():
    own = object()
    llm = model(async_openai_client=own)

    async def lent():
        return Clients().lend(capped(llm, 5))

    assert asyncio.run(lent())._aclient is own


def test_many_runs_of_a_guarded_agent_make_one_client(made, serve, wire, openai_llm, searches):
    server = serve(wire(text="Tarnholm"))
    agent = guard(FunctionAgent(tools=[searches.search], llm=openai_llm(server)), "2/300")

    async def run():
        return await asyncio.gather(*(agent.run(f"question {number}") for number in range(6)))

    assert [str(output).strip() for output in asyncio.run(run())] == ["Tarnholm"] * 6
    assert len(made) == 1
    assert len(server.requests) == 6


def test_an_engine_that_is_queried_from_code_without_a_loop_works_each_time(made, serve, wire, openai_llm, nodes):
    """Each query has an event loop of its own; a connection kept from the one before would be dead."""
    server = serve(wire(text="Tarnholm"))
    engine = BudgetedSearchQueryEngine.from_defaults(nodes=nodes, llm=openai_llm(server), budget="1/100")
    for _ in range(3):
        assert str(engine.query("Where was Oda Brinnel born?")) == "Tarnholm"
    assert len(made) == 3
