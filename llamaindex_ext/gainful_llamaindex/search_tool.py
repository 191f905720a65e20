"""The search tool of a search agent: one retriever, called once for a search that the controller began."""

import asyncio
from typing import Any

from llama_index.core.tools import AsyncBaseTool, ToolMetadata, ToolOutput

from gainful.budget.actions import Observation, Search
from gainful_llamaindex.errors import NoLedgerError
from gainful_llamaindex.run_state import clock, current_run, save_run
from gainful_llamaindex.searcher import Searcher

__all__ = ["SearchTool"]


class SearchTool(AsyncBaseTool):
    """Searches one corpus. The host calls it, so that its events and spans are the host's own.

    It runs only the search that is open in the run's state: nothing else was paid for.
    """

    def __init__(self, name: str, searcher: Searcher, key: str) -> None:
        self._searcher, self._key = searcher, key
        self._metadata = ToolMetadata(name=name, description="Searches the corpus; called by the agent itself.")

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        raise NotImplementedError(f"{self.metadata.name}: a budgeted search runs in a workflow; use acall")

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        ctx, run = await current_run(self._key)
        action = run.state.open.action if run.state.open else None
        if not isinstance(action, Search) or action.tool != self.metadata.name:
            raise NoLedgerError(f"{self.metadata.name}: no such search is paid for in this run; ask the agent instead")
        try:
            seen = await self._searcher.search(action)
        except asyncio.CancelledError:
            self._searcher.controller.observe(run.state, action, Observation(outcome="cancelled"), clock())
            await save_run(ctx, self._key, run)
            raise
        text = "\n\n".join(f"{passage.title}\n{passage.text}".strip() for passage in seen.passages)
        return ToolOutput(
            tool_name=self.metadata.get_name(),
            content=text or f"nothing found ({seen.outcome})",
            raw_input={"query": action.query},
            raw_output=seen.model_dump(mode="json"),
            is_error=seen.outcome != "ok",
        )
