"""`search` as a tool of verl's agent loops, named in the file at `rollout.multi_turn.tool_config_path`.

`configs/search_tool.yaml` in this package asks a server on this machine, such as `gainful retrieve serve`.
"""

from dataclasses import asdict
from typing import Any, Literal

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.utils.rollout_trace import rollout_trace_op

from gainful.config import Options, from_mapping
from gainful.retrieval import RetrievalFailed, Retrieved, RetrieverOptions, make_retriever, render

__all__ = ["SCHEMA", "SearchTool"]

SCHEMA = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Find documents that may hold the answer.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to search for."}},
            "required": ["query"],
        },
    },
}


class SearchToolOptions(Options):
    """The section `config` of the tool."""

    type: Literal["native"] = "native"
    """verl's; there is no other."""
    retriever: RetrieverOptions


class SearchTool(BaseTool):
    """Stateless: trajectories share one tool, and tools of equal options share one retriever.

    verl shortens what a tool says to `multi_turn.max_tool_response_length` characters, 256 by default: raise it.
    """

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None = None) -> None:
        """Called once per agent-loop worker; reads the corpus, so that a wrong one stops the run before its first step.

        Args:
            config: Keys of `SearchToolOptions`.
            tool_schema: None for `SCHEMA`.

        Raises:
            ConfigError: An option is unknown or impossible.
            GainfulError: The corpus cannot be used, or a library is missing.
        """
        super().__init__(config, tool_schema or OpenAIFunctionToolSchema.model_validate(SCHEMA))
        options = from_mapping(SearchToolOptions, config, where="tools.config", owner="the search tool")
        self._retriever = make_retriever(options.retriever)

    @rollout_trace_op
    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Called by the loop for every call of the policy, many at a time; a failure is shown to it, and not raised.

        Returns:
            What the policy reads; no reward; and `query`, `documents` (of `Doc`, as dictionaries) and `failed`, the
            reason or None.
        """
        query = parameters.get("query") if isinstance(parameters, dict) else None
        found: Retrieved = RetrievalFailed("bad_query", f"expected text, got {type(query).__name__}")
        if isinstance(query, str):
            found = (await self._retriever.retrieve([query]))[0]
        return ToolResponse(text=render(found)), 0.0, {"query": query, **_told(found)}


def _told(found: Retrieved) -> dict[str, Any]:
    if isinstance(found, RetrievalFailed):
        return {"documents": [], "failed": found.reason}
    return {"documents": [asdict(doc) for doc in found], "failed": None}
