"""Between LlamaIndex and the network: each cell has a wire of its own, which logs what went over it.

The clients of the real LLM class send through it, so what is counted and kept is what stood on the wire, and the caps
that the auditor sees are those that the server got.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from exchange import Exchange, cap_of, check_request
from kinds import kind_of
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from records import Answered

from gainful_llamaindex.adapt import usage_of
from gainful_llamaindex.token_caps import capped

CONTEXT_WINDOW = 128_000


@dataclass(frozen=True)
class WireCall:
    """One answered request, as the auditor counts it and `calibrate` reads it."""

    kind: str
    max_tokens: int
    output_tokens: int
    input_tokens: int
    seconds: float
    body: dict[str, Any]
    message: dict[str, Any]


class Wire(httpx.BaseTransport):
    """Log of one cell. After the first trouble nothing more is sent: a run without its model is no run."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.calls: list[WireCall] = []
        self.trouble: Exception | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.trouble is not None:
            raise self.trouble
        try:
            kept = self.exchange.answer(request)
        except Exception as error:
            self.trouble = error
            raise
        self.calls.append(_logged(request, kept))
        return httpx.Response(httpx.codes.OK, json=kept.response, request=request)


class AsyncWire(httpx.AsyncBaseTransport):
    """The same wire for asynchronous callers."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self.wire.handle_request, request)


class OnlineLLM(OpenAILike):
    """A real model behind an OpenAI-compatible server; the plain loops ask it one prompt at a time."""

    def say(self, prompt: str, cap: int) -> tuple[str, int]:
        """Text and output tokens; what is not reported counts as the cap."""
        response = capped(self, cap).chat([ChatMessage(content=prompt)])
        text = response.message.content or ""
        usage = usage_of(response.raw, said_something=bool(text))
        return text, cap if usage is None or usage.output_tokens is None else usage.output_tokens


def model_on(wire: Wire, *, model: str, api_base: str, key: str) -> OnlineLLM:
    """Temperature 0 and no retries of its own: those are the exchange's, where they are counted."""
    return OnlineLLM(
        model=model,
        api_base=api_base,
        api_key=key or "none",
        temperature=0.0,
        max_retries=0,
        context_window=CONTEXT_WINDOW,
        is_chat_model=True,
        is_function_calling_model=True,
        http_client=httpx.Client(transport=wire),
        async_http_client=httpx.AsyncClient(transport=AsyncWire(wire)),
    )


def _logged(request: httpx.Request, kept: Answered) -> WireCall:
    body = check_request(request)
    message = kept.response["choices"][0]["message"]
    usage, cap = usage_of(kept.response), cap_of(body)
    output = cap if usage is None or usage.output_tokens is None else usage.output_tokens
    given = 0 if usage is None or usage.input_tokens is None else usage.input_tokens
    return WireCall(kind_of(body, message), cap, output, given, kept.seconds, body, message)
