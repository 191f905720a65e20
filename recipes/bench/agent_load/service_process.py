"""The service under load: that of `recipes/serve_agent`, with a model that writes noise and a stock agent beside it.

Random weights call a tool only where the grammar of the server makes them, so the query is a short word of letters; and
white space, which such a model never stops writing between the parts of JSON, is ruled out.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field

from gainful.budget import Budget, BudgetReport

sys.path.append(str(Path(__file__).parents[2] / "serve_agent"))
import command
from agents import guarded, make_retriever, searching, stock
from running import AgentRunner, RunFailedError, Runner

Word = Annotated[str, Field(json_schema_extra={"pattern": "^[A-Za-z]{4,8}$"})]


class CountingRetriever(BaseRetriever):
    """Counts searches where they are made, whoever asks for them."""

    def __init__(self, inner: BaseRetriever) -> None:
        super().__init__()
        self._inner, self.num_calls = inner, 0

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.num_calls += 1
        return self._inner.retrieve(query_bundle)


class StockRunner:
    """The agent without a guard: nothing is reserved, counted or reported."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    async def run(self, question: str, budget: Budget) -> BudgetReport:
        """As of `Runner`, but for the budget."""
        try:
            answer = str(await self._agent.run(question)) or "nothing"
        except Exception as error:  # as in AgentRunner
            raise RunFailedError(type(error).__name__, None, 502) from error
        return BudgetReport.model_construct(
            answer=answer, origin="answer", exit_reason="answered", axes=(), spent={}, audit_ok=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    command.add_arguments(parser)
    arguments = parser.parse_args()
    allowance = command.make_allowance(arguments)
    retriever = CountingRetriever(make_retriever(command.read_nodes(None)))
    runners = make_runners(arguments, retriever, allowance.default)

    async def searches(request: web.Request) -> web.Response:
        return web.Response(text=str(retriever.num_calls))

    async def make() -> web.Application:
        made = await command.make_application(runners, allowance, arguments)
        made.router.add_get("/searches", searches)
        return made

    command.serve(make(), arguments)


def make_runners(arguments: argparse.Namespace, retriever: BaseRetriever, budget: Budget) -> dict[str, Runner]:
    """The two agents of the service and the stock one, over one model and one corpus."""
    llm = command.make_llm(arguments).model_copy(
        update={"strict": True, "additional_kwargs": {"extra_body": {"logit_bias": _no_white_space(arguments)}}}
    )

    async def search(query: Word) -> str:
        """Search the encyclopedia."""
        return "\n".join(node.get_content() for node in await retriever.aretrieve(query))

    return {
        "guarded": AgentRunner(guarded(llm, search, budget)),
        "search": AgentRunner(searching(llm, retriever, budget)),
        "stock": StockRunner(stock(llm, search)),
    }


def _no_white_space(arguments: argparse.Namespace) -> dict[str, int]:
    body = {"model": arguments.model, "prompt": " \n\r\t", "add_special_tokens": False}
    url = arguments.api_base.removesuffix("/v1") + "/tokenize"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return {str(token): -100 for token in json.load(response)["tokens"]}


if __name__ == "__main__":
    main()
