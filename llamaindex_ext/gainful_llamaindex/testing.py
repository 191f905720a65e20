"""A language model that follows a script, reports usage and can misbehave. For tests; no network, no weights.

llm = ScriptedLLM(script=[Reply(tools=[("search", {"query": "Solaris 1972"})]), "Andrei Tarkovsky"])
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool

__all__ = ["Call", "Reply", "ScriptedLLM"]


class Reply(BaseModel):
    """What the model says once. A token is a word, in the text as in the JSON of a tool call."""

    text: str = ""
    tools: list[tuple[str, dict[str, Any]]] = Field(default_factory=list)
    error: str | None = None
    """Raise a RuntimeError with this text instead of answering."""
    seconds: float = 0.0
    """Wait that long first."""
    reported_tokens: int | None = None
    """Report this number of output tokens instead of the true one."""


class Call(BaseModel):
    """One request as the model saw it."""

    messages: list[ChatMessage]
    tools: list[str]
    tool_choice: str | None = None
    max_tokens: int
    output_tokens: int = 0


class ScriptedLLM(FunctionCallingLLM):
    """Plays `script`: replies in order, the last one for ever, or a function of messages and names of tools offered.

    Copies share `calls`, so a per-call copy is seen in the record of the original.
    """

    script: Any = Field(description="replies, or a function (messages, tool names) -> reply", exclude=True)
    max_tokens: int = 4096
    obeys_cap: bool = True
    reports_usage: bool = True
    is_function_calling_model: bool = True
    calls: list[Call] = Field(default_factory=list, exclude=True)

    @classmethod
    def class_name(cls) -> str:
        return "ScriptedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name="scripted",
            is_chat_model=True,
            is_function_calling_model=self.is_function_calling_model,
            num_output=self.max_tokens,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._respond(self._next(messages, kwargs), self.calls[-1], messages)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = self._next(messages, kwargs)
        call = self.calls[-1]
        await asyncio.sleep(reply.seconds)
        return self._respond(reply, call, messages)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        reply = self._next(messages, kwargs)
        call = self.calls[-1]

        def chunks() -> ChatResponseGen:
            yield self._respond(reply, call, messages)

        return chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        reply = self._next(messages, kwargs)
        call = self.calls[-1]

        async def chunks() -> ChatResponseAsyncGen:
            await asyncio.sleep(reply.seconds)
            yield self._respond(reply, call, messages)

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        response = self.chat([ChatMessage(role="user", content=prompt)], **kwargs)
        return CompletionResponse(text=response.message.content or "", raw=response.raw)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        response = await self.achat([ChatMessage(role="user", content=prompt)], **kwargs)
        return CompletionResponse(text=response.message.content or "", raw=response.raw)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError("ScriptedLLM streams chats only; use stream_chat")

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        raise NotImplementedError("ScriptedLLM streams chats only; use astream_chat")

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not blocks and error_on_no_tool_call:
            raise ValueError("expected a tool call, found none")
        return [
            ToolSelection(tool_id=block.tool_call_id or "", tool_name=block.tool_name, tool_kwargs=_mapping(block))
            for block in blocks
        ]

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = [*(chat_history or [])]
        if user_msg is not None:
            messages.append(user_msg if isinstance(user_msg, ChatMessage) else ChatMessage(content=user_msg))
        names = [tool.metadata.get_name() for tool in tools]
        return {"messages": messages, "tools": names, "tool_choice": kwargs.get("tool_choice")}

    def _next(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Reply:
        offered = list(kwargs.get("tools") or [])
        if callable(self.script):
            reply = self.script(messages, offered)
        else:
            reply = self.script[min(len(self.calls), len(self.script) - 1)]
        # copied: an agent goes on writing into the messages that it passes
        seen = [message.model_copy(deep=True) for message in messages]
        choice = kwargs.get("tool_choice")
        self.calls.append(Call(messages=seen, tools=offered, tool_choice=choice, max_tokens=self.max_tokens))
        return Reply(text=reply) if isinstance(reply, str) else reply

    def _respond(self, reply: Reply, call: Call, messages: Sequence[ChatMessage]) -> ChatResponse:
        if reply.error is not None:
            raise RuntimeError(reply.error)
        cap = self.max_tokens if self.obeys_cap else None
        words = reply.text.split()
        text = reply.text if cap is None or len(words) <= cap else " ".join(words[:cap])
        blocks: list[Any] = [TextBlock(text=text)] if text else []
        call.output_tokens = len(text.split())
        for name, arguments in reply.tools:
            arguments_json, count = _cut(json.dumps(arguments), None if cap is None else cap - call.output_tokens)
            call.output_tokens += count
            blocks.append(
                ToolCallBlock(
                    tool_call_id=f"call_{len(self.calls)}_{len(blocks)}", tool_name=name, tool_kwargs=arguments_json
                )
            )
        message = ChatMessage(role="assistant", blocks=blocks)
        return ChatResponse(message=message, delta=text, raw=self._raw(reply, call, messages))

    def _raw(self, reply: Reply, call: Call, messages: Sequence[ChatMessage]) -> dict[str, Any]:
        if not self.reports_usage:
            return {}
        output = call.output_tokens if reply.reported_tokens is None else reply.reported_tokens
        given = sum(len((message.content or "").split()) for message in messages)
        return {"usage": {"prompt_tokens": given, "completion_tokens": output}}


def _cut(arguments: str, left: int | None) -> tuple[str, int]:
    """A tool call costs one token for its name and one a word of its JSON; what does not fit is cut off."""
    words = arguments.split(" ")
    if left is None or len(words) + 1 <= left:
        return arguments, len(words) + 1
    return " ".join(words[: max(0, left - 1)]), max(0, left)


def _mapping(block: ToolCallBlock) -> dict[str, Any]:
    """Arguments of a tool call; cut JSON gives an empty mapping, as hosts do."""
    if not isinstance(block.tool_kwargs, str):
        return dict(block.tool_kwargs)
    try:
        parsed = json.loads(block.tool_kwargs)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
