"""A scripted model, a fake OpenAI server, and agents over both."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"


def load(name):
    """A module of the fixtures folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, FIXTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


openai_fake = load("openai_fake")


@pytest.fixture
def wire():
    """The description of one answer on the wire."""
    return openai_fake.Wire


@pytest.fixture
def serve():
    """`serve(Wire(...), ...)`: a running server; the last answer is repeated."""
    servers = []

    def start(*replies):
        server = openai_fake.OpenAIFake(list(replies)).__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def openai_llm():
    """`openai_llm(server, ...)`: a real OpenAI-compatible client for the fake server, without retries."""
    from llama_index.llms.openai_like import OpenAILike

    def make(server, **options):
        defaults = {"is_chat_model": True, "is_function_calling_model": True, "max_retries": 0, "timeout": 20}
        return OpenAILike(model="fake", api_base=server.api_base, api_key="none", **{**defaults, **options})

    return make


@pytest.fixture
def events_of():
    """`events_of(handler)` -> (result, events), with a limit on the time a test may hang."""

    async def collect(handler, seconds=5):
        events = []

        async def read():
            async for event in handler.stream_events():
                events.append(event)

        await asyncio.wait_for(asyncio.gather(read(), _settled(handler)), seconds)
        return await handler, events

    async def _settled(handler):
        return await handler

    return collect


@pytest.fixture
def searches():
    """A search tool that records its queries."""

    class Search:
        def __init__(self):
            self.queries = []

        def search(self, query: str) -> str:
            """Search the corpus."""
            self.queries.append(query)
            return f"passage {len(self.queries)} about {query}"

    return Search()


CORPUS = {
    "Velmar Crossing": "Velmar Crossing is a drama film of 1961 directed by Oda Brinnel and shot in the port of Kesh.",
    "Oda Brinnel": "Oda Brinnel was a film director. She was born in Tarnholm and studied in Ilvane.",
    "Tarnholm": "Tarnholm is a harbour town on the river Quell, founded in 1203.",
    "Harrow Gate": "Harrow Gate is a comedy film of 1974 directed by Pell Aston.",
    "Pell Aston": "Pell Aston was a director and stage actor born in Ilvane.",
    "Ilvane": "Ilvane is the capital of the province of Sorrel.",
}


@pytest.fixture
def nodes():
    """Six short texts about invented people and places."""
    from llama_index.core.schema import TextNode

    return [TextNode(text=text, metadata={"title": title}) for title, text in CORPUS.items()]


QUESTION = "Where was the director of the film Velmar Crossing born?"


@pytest.fixture
def planner():
    """`planner(...)`: a model for the two-hop question about Velmar Crossing, with whatever goes wrong in between."""
    from gainful_llamaindex.testing import ScriptedLLM

    def make(answer="Tarnholm [1]", propose="FOUND: Oda Brinnel\nNEXT: where was Oda Brinnel born", **options):
        def script(messages, tools):
            plans = (messages[-1].content or "").startswith("You plan searches")
            reply = propose if plans else answer
            return reply(messages) if callable(reply) else reply

        return ScriptedLLM(script=script, **options)

    return make
