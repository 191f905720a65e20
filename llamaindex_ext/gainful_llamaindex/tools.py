"""Tools as a guarded agent offers them. They refuse with a message: an exception inside a tool becomes text anyway."""

import asyncio
from typing import Any

from llama_index.core.objects import ObjectRetriever
from llama_index.core.tools import AsyncBaseTool, BaseTool, FunctionTool, ToolMetadata, ToolOutput, adapt_to_async_tool

from gainful.budget.axes import SECONDS
from gainful.budget.host_loop import TOOL
from gainful_llamaindex.run_state import clock, current_key, current_run

__all__ = ["NOTICE", "BudgetedTool", "BudgetedTools", "NoticeTool"]

NOTICE = "budget_notice"
"""Name of the tool that stands in for a call which is not made; the model is never offered it."""


class NoticeTool(AsyncBaseTool):
    """Says why a call was not made, so that the provider sees one result per call id."""

    def __init__(self) -> None:
        self._metadata = ToolMetadata(name=NOTICE, description="Stands in for a call that the budget does not allow.")

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def call(self, **kwargs: Any) -> ToolOutput:
        message = str(kwargs.get("message", ""))
        refused = bool(kwargs.get("refused", True))
        return ToolOutput(
            tool_name=str(kwargs.get("tool", NOTICE)),
            content=message,
            raw_input=kwargs,
            raw_output=message,
            is_error=refused,
        )

    async def acall(self, **kwargs: Any) -> ToolOutput:
        return self.call(**kwargs)


class _Budgeted:
    """How a budgeted tool is called. Mixed in, so that the host makes no span of it: the user's tool has its own."""

    _tool: AsyncBaseTool
    _key: str

    @property
    def metadata(self) -> ToolMetadata:
        return self._tool.metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        raise NotImplementedError(f"{self.metadata.name}: a budgeted tool runs in a workflow; use acall")

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        ctx, run = await current_run(self._key)
        if isinstance(self._tool, FunctionTool) and self._tool.requires_context and self._tool.ctx_param_name:
            kwargs[self._tool.ctx_param_name] = ctx
        room = run.accounts.room(TOOL, clock())
        seconds = float(room[SECONDS]) if SECONDS in room else None
        token = current_key.set(self._key)
        try:
            return await asyncio.wait_for(self._tool.acall(*args, **kwargs), seconds)
        except asyncio.TimeoutError:
            if seconds is None or run.accounts.room(TOOL, clock())[SECONDS] > 0:
                raise  # the tool's own, not ours
            return self._too_late(kwargs)
        except asyncio.CancelledError:
            run.close(clock())
            raise
        finally:
            current_key.reset(token)

    def _too_late(self, kwargs: dict[str, Any]) -> ToolOutput:
        message = f"{self.metadata.name} was stopped: the time for tools is over. Answer from what you have."
        return ToolOutput(
            tool_name=self.metadata.get_name(), content=message, raw_input=kwargs, raw_output=message, is_error=True
        )


class BudgetedTool(_Budgeted, AsyncBaseTool):
    """A tool of the user. It runs only inside a run with a ledger, and not beyond that run's deadline.

    Whether a call is allowed was settled before: `take_step` admits calls, since only it sees a whole batch.
    """

    def __init__(self, tool: BaseTool, key: str) -> None:
        self._tool, self._key = adapt_to_async_tool(tool), key


class BudgetedTools(ObjectRetriever):
    """A retriever of tools whose tools are budgeted."""

    def __init__(self, retriever: ObjectRetriever, key: str) -> None:
        self._inner, self._key = retriever, key

    def retrieve(self, str_or_query_bundle: Any) -> list[Any]:
        return [BudgetedTool(tool, self._key) for tool in self._inner.retrieve(str_or_query_bundle)]

    async def aretrieve(self, str_or_query_bundle: Any) -> list[Any]:
        return [BudgetedTool(tool, self._key) for tool in await self._inner.aretrieve(str_or_query_bundle)]
