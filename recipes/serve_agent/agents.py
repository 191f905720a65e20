"""The two agents that are served: one with a loop of its own under a guard, and one that the controller drives."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import LLM
from llama_index.core.schema import BaseNode, TextNode
from llama_index.retrievers.bm25 import BM25Retriever
from pydantic import Field

from gainful.budget import Budget
from gainful.retrieval.corpus import Entry
from gainful_llamaindex import BudgetedSearchAgent, guard

__all__ = ["guarded", "make_retriever", "nodes_of", "search_tool", "searching", "stock"]

PASSAGES = 3

Search = Callable[[str], Awaitable[str]]
Query = Annotated[str, Field(description="what to look for", json_schema_extra={"maxLength": 200})]


def nodes_of(entries: Sequence[Entry]) -> list[TextNode]:
    """A corpus as LlamaIndex wants it."""
    return [TextNode(id_=entry.id, text=entry.text, metadata={"title": entry.title}) for entry in entries]


def make_retriever(nodes: Sequence[BaseNode]) -> BM25Retriever:
    """BM25 over all texts, in this process."""
    return BM25Retriever.from_defaults(nodes=list(nodes), similarity_top_k=min(PASSAGES, len(nodes)))


def search_tool(retriever: BaseRetriever) -> Search:
    """A plain function, as any LlamaIndex user would write it."""

    async def search(query: Query) -> str:
        """Search the encyclopedia."""
        return "\n".join(node.get_content() for node in await retriever.aretrieve(query))

    return search


def stock(llm: LLM, search: Search) -> FunctionAgent:
    """The agent as it was before: it searches first, then does what its model says, without a limit."""
    return FunctionAgent(tools=[search], llm=llm, streaming=False, initial_tool_choice="search")


def guarded(llm: LLM, search: Search, budget: Budget) -> Any:
    """The same agent, which cannot pass its budget."""
    return guard(stock(llm, search), budget)


def searching(llm: LLM, retriever: BaseRetriever, budget: Budget) -> BudgetedSearchAgent:
    """The agent whose steps are chosen by what they are worth."""
    return BudgetedSearchAgent.from_defaults(retriever=retriever, llm=llm, budget=budget, k=PASSAGES, streaming=False)
