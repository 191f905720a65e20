"""A cap for models that take none: stop reading the stream. What the server goes on writing may still be billed.

Asked for with `token_cap="stream_cutoff"`, never by itself. The copy is an instance of a subclass of the model's class,
not a proxy, so spans and callbacks stay one per call.
"""

from collections.abc import AsyncGenerator, Sequence
from functools import cache
from types import new_class
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.utils import get_tokenizer

__all__ = ["STREAM_CUTOFF", "cut_off"]

STREAM_CUTOFF = "stream_cutoff"

_LIMIT = "gainful_cutoff_tokens"


def cut_off(llm: LLM, max_tokens: int) -> LLM:
    """A copy whose chats end once the host's tokenizer counts `max_tokens` in what was read.

    A chat that was cut reports no usage, so that the whole reservation is charged.
    """
    copy = llm.model_copy()
    object.__setattr__(copy, "__class__", _cutting(type(llm)))
    copy.__dict__[_LIMIT] = max_tokens
    return copy


@cache
def _cutting(cls: type[LLM]) -> type[LLM]:
    return new_class(f"Cut{cls.__name__}", (_Cutting, cls), {}, lambda body: body.update(__module__=__name__))


class _Cutting:
    """Mixed in before the model's class; both kinds of chat go through its stream."""

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        stream = await super().astream_chat(messages, **kwargs)  # type: ignore[misc]
        return _until(stream, self.__dict__[_LIMIT])

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        last = ChatResponse(message=ChatMessage(role="assistant", content=""))
        async for response in await self.astream_chat(messages, **kwargs):
            last = response
        return last


async def _until(stream: AsyncGenerator[ChatResponse, None], max_tokens: int) -> AsyncGenerator[ChatResponse, None]:
    count = get_tokenizer()
    async for response in stream:
        if len(count(_written(response.message))) >= max_tokens:
            yield response.model_copy(update={"raw": None})
            await stream.aclose()
            return
        yield response


def _written(message: ChatMessage) -> str:
    """Text and the arguments of tool calls."""
    calls = [str(block.tool_kwargs) for block in message.blocks if isinstance(block, ToolCallBlock)]
    return " ".join([message.content or "", *calls])
