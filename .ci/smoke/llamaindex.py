"""A stock agent under a hard budget: it wants to search for ever, and cannot."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from gainful_llamaindex import guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

searched = []


def search(query: str) -> str:
    """Search the encyclopedia."""
    searched.append(query)
    return f"an article about {query}"


async def main():
    more = Reply(tools=[("search", {"query": "more"})])
    llm = ScriptedLLM(script=lambda messages, tools: more if tools else "Enough.")
    return await guard(FunctionAgent(tools=[search], llm=llm), "2/300").run("What is there to know?")


report = asyncio.run(main()).report
assert report.audit_ok, report
assert len(searched) == 2, searched
print(report)
