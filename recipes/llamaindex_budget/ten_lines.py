"""The shortest use: an agent you have, and a limit that it cannot pass. Put your own model in for the scripted one."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from gainful_llamaindex import guard
from gainful_llamaindex.testing import Reply, ScriptedLLM


def search(query: str) -> str:
    """Search the encyclopedia."""
    return f"an article about {query}"


async def main() -> None:
    llm = ScriptedLLM(
        script=lambda messages, tools: Reply(tools=[("search", {"query": "more"})]) if tools else "Enough."
    )
    agent = guard(FunctionAgent(tools=[search], llm=llm), "2/300")  # two tool calls, 300 output tokens, no more
    out = await agent.run("What is there to know?")
    print(out)
    print(out.report.table())


asyncio.run(main())
