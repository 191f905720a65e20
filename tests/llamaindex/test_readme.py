"""The README's lines for LlamaIndex, run as they stand, with a scripted model and a tool of the reader's own."""

import asyncio
import re
import textwrap
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent

from gainful_llamaindex.testing import Reply, ScriptedLLM

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```python llamaindex\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def search(query: str) -> str:
    """Search the encyclopedia."""
    return f"an article about {query}"


def test_the_guarded_agent_of_the_readme_answers_within_its_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    again = Reply(tools=[("search", {"query": "more"})])
    llm = ScriptedLLM(script=lambda messages, tools: again if tools else "In Orrast.")
    names = {"FunctionAgent": FunctionAgent, "search": search, "llm": llm}
    (block,) = BLOCKS
    exec(f"async def main():\n{textwrap.indent(block, '    ')}", names)  # noqa: S102  (our own README)
    asyncio.run(names["main"]())
    printed = capsys.readouterr().out
    assert "In Orrast." in printed
    assert "tool_calls" in printed
    assert "<html" in (tmp_path / "run.html").read_text()
