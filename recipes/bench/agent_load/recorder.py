"""Between the service and vLLM: what each run asked of the model, and what the server says that it wrote for it."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

__all__ = ["Call", "Recorder", "recorder"]

_TAG = re.compile(r"\[(\w+)\] Where was")


@dataclass
class Call:
    """One request to the model server."""

    cap: int
    """Output tokens that were asked for at most."""
    tokens: int | None = None
    """Output tokens as the server's own `usage` counts them; None if the call did not end well."""

    @property
    def owed(self) -> int:
        """What a run must be charged: what was written, or all that might have been."""
        return self.cap if self.tokens is None else self.tokens


class Recorder:
    """Passes requests on unchanged. `upstream` may be moved to another server at any time."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.base = ""
        self.calls: dict[str, list[Call]] = defaultdict(list)
        """By the tag in the question; the empty tag should have none."""
        self._session: aiohttp.ClientSession

    @property
    def num_broken_off(self) -> int:
        """Calls that did not end well, or still go on."""
        return sum(call.tokens is None for calls in self.calls.values() for call in calls)

    def owed(self, tag: str) -> int:
        """Output tokens that the run of `tag` must be charged."""
        return sum(call.owed for call in self.calls[tag])

    def most(self, tag: str) -> int:
        """Output tokens that the server was ever allowed to write for `tag`, given what it had written before."""
        written = ceiling = 0
        for call in self.calls[tag]:
            ceiling = max(ceiling, written + call.cap)
            written += call.owed
        return ceiling

    async def chat(self, request: web.Request) -> web.Response:
        """POST /v1/chat/completions."""
        body = await request.json()
        found = _TAG.search(str(body["messages"]))
        call = Call(body.get("max_tokens") or body["max_completion_tokens"])
        self.calls[found.group(1) if found else ""].append(call)
        try:
            async with self._session.post(f"{self.upstream}{request.path}", json=body) as response:
                answer, status = await response.json(), response.status
        except aiohttp.ClientError:  # the service must see what it would have seen without us
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if status == 200:
            call.tokens = answer["usage"]["completion_tokens"]
        return web.json_response(answer, status=status)

    async def tokenize(self, request: web.Request) -> web.Response:
        """POST /tokenize."""
        async with self._session.post(f"{self.upstream}/tokenize", json=await request.json()) as response:
            return web.json_response(await response.json())

    async def start(self) -> web.AppRunner:
        """Listen on a free port of the loopback."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/tokenize", self.tokenize)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        """Listen no more."""
        await runner.cleanup()
        await self._session.close()


@asynccontextmanager
async def recorder(upstream: str) -> AsyncIterator[Recorder]:
    """A recorder for the time of a `with`."""
    made = Recorder(upstream)
    runner = await made.start()
    try:
        yield made
    finally:
        await asyncio.shield(made.stop(runner))
