"""What the command line says, and the server that comes of it."""

import argparse
import logging
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

import httpx
from agents import guarded, make_retriever, nodes_of, search_tool, searching
from aiohttp import web
from gate import Gate
from llama_index.core.llms import LLM
from llama_index.core.schema import BaseNode
from llama_index.llms.openai_like import OpenAILike
from running import AgentRunner, Runner
from service import Service, application

from gainful.budget import Allowance, Budget
from gainful.retrieval.corpus import read_corpus

__all__ = ["add_arguments", "make_allowance", "make_application", "make_llm", "make_runners", "read_nodes", "serve"]

# idle ones are dropped before the server does it (vLLM: after 5 s): without retries, a call on a dead one has failed
_CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=2.0)
WORLD = Path(__file__).parents[1] / "llamaindex_budget"


def make_runners(llm: LLM, nodes: list[BaseNode], budget: Budget) -> dict[str, Runner]:
    """What is served, by name."""
    retriever = make_retriever(nodes)
    return {
        "guarded": AgentRunner(guarded(llm, search_tool(retriever), budget)),
        "search": AgentRunner(searching(llm, retriever, budget)),
    }


def make_allowance(arguments: argparse.Namespace) -> Allowance:
    """What a user gets, and the most that it may ask for."""
    return Allowance(default=read_budget(arguments.default), maximum=read_budget(arguments.maximum))


async def make_application(
    runners: dict[str, Runner], allowance: Allowance, arguments: argparse.Namespace
) -> web.Application:
    """Made inside the loop that its gate belongs to."""
    gate = Gate(arguments.max_running, arguments.max_waiting, arguments.wait_seconds)
    return application(Service(runners, allowance, gate), arguments.grace_seconds)


def serve(made: Awaitable[web.Application], arguments: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT; then runs get `--grace-seconds` to end, and what is left of them is cancelled."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    web.run_app(
        made,
        host=arguments.host,
        port=arguments.port,
        handler_cancellation=True,  # a user who goes away stops paying
        shutdown_timeout=1.0,
        access_log=None,  # it would hold addresses
        print=lambda text: print(text, flush=True),
    )


def make_llm(arguments: argparse.Namespace) -> LLM:
    """A client without retries of its own: nobody could count them."""
    return OpenAILike(
        model=arguments.model,
        api_base=arguments.api_base,
        api_key=os.environ.get(arguments.key_from, "none"),
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        timeout=arguments.model_seconds,
        async_http_client=httpx.AsyncClient(limits=_CONNECTIONS, timeout=arguments.model_seconds),
        max_tokens=arguments.max_tokens,
        temperature=0,
    )


def read_budget(text: str) -> Budget:
    """`4/1000` or `4/1000/60`: tool calls, output tokens, seconds."""
    calls, _, rest = text.partition("/")
    tokens, _, seconds = rest.partition("/")
    limits = Budget.parse(f"{calls}/{tokens}")
    return Budget(**limits.model_dump(exclude_none=True), seconds=float(seconds)) if seconds else limits


def read_nodes(corpus: Path | None) -> list[BaseNode]:
    """The user's corpus, or the invented world of the recipe beside."""
    if corpus is not None:
        return list(nodes_of(read_corpus(corpus)))
    sys.path.append(str(WORLD))
    from world import nodes

    return list(nodes())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All options of the service."""
    parser.add_argument("--api-base", required=True, help="of the model server, with /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--key-from", default="OPENAI_API_KEY", help="environment variable with the server's key")
    parser.add_argument("--max-tokens", type=int, default=512, help="of one model call, whatever the budget has left")
    parser.add_argument("--model-seconds", type=float, default=120, help="after which a model call has failed")
    parser.add_argument("--corpus", type=Path, help="one JSON object a line: id, title, text; default: a small world")
    parser.add_argument("--default", default="2/300/60", help="tool calls / output tokens / seconds of a run")
    parser.add_argument("--maximum", default="8/4000/120", help="the most that a user may ask for")
    parser.add_argument("--max-running", type=int, default=64)
    parser.add_argument("--max-waiting", type=int, default=64)
    parser.add_argument("--wait-seconds", type=float, default=30)
    parser.add_argument("--grace-seconds", type=float, default=10)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
