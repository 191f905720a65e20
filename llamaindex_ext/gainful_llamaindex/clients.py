"""One HTTP client for all capped copies of a model in an event loop.

LlamaIndex's OpenAI family makes its client at the first call and keeps it on the model object. A copy per call would
make one per call: tens of milliseconds of CPU for its certificates, and a connection that nobody uses again.
"""

import asyncio
from typing import Any

from llama_index.core.llms import LLM

__all__ = ["Clients"]

_MAKE, _KEPT = "_get_aclient", "_aclient"


class Clients:
    """The clients of one agent or query engine, by event loop: a connection does not outlive the loop it belongs to."""

    def __init__(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, Any] = {}

    def lend(self, llm: LLM) -> LLM:
        """`llm`, a copy for one call, with the client of the running loop, where its class makes one late.

        A model that has a client already, that makes none, or that shall not reuse its client is left as it is.
        """
        if not hasattr(llm, _MAKE) or not getattr(llm, "reuse_client", False) or getattr(llm, _KEPT, None) is not None:
            return llm
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            open_ones = {known: client for known, client in self._by_loop.items() if not known.is_closed()}
            self._by_loop = open_ones | {loop: getattr(llm, _MAKE)()}
        setattr(llm, _KEPT, self._by_loop[loop])
        return llm
