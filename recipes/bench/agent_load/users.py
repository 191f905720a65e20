"""Users: each asks, waits for the answer and asks again. What they saw is kept, to be held against other counts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

__all__ = ["BUDGETS", "EXACT", "Reply", "Wish", "ask", "crowd", "over_limit"]

REPLY_SECONDS = 120.0
"""A reply that takes longer is a hang, and counts as broken."""
BUDGETS = ("0/0", "0/60", "1/160", "2/300", "4/1000")
"""Tool calls / output tokens, in turn: from nothing to plenty."""
EXACT = ("tool_calls", "output_tokens", "llm_calls", "host_steps")


@dataclass(frozen=True)
class Wish:
    """One request. The tag is part of the question, so that it can be told who a model call was made for."""

    tag: str
    agent: str
    budget: str

    @property
    def body(self) -> dict[str, str]:
        question = f"[{self.tag}] Where was the director of the film Velmar Crossing born?"
        return {"question": question, "agent": self.agent, "budget": self.budget}


@dataclass(frozen=True)
class Reply:
    """What came back; status 0 is no answer at all."""

    wish: Wish
    status: int
    seconds: float
    body: dict[str, Any] = field(default_factory=dict)
    retry_after: str | None = None

    def spent(self, axis: str) -> float:
        """What the service says that the run took."""
        return self.body.get("spent", {}).get(axis, 0)


def over_limit(reply: Reply) -> bool:
    """True if the reply owns up to more than was asked for, or to a limit that did not hold."""
    calls, _, tokens = reply.wish.budget.partition("/")
    asked = {"tool_calls": int(calls), "output_tokens": int(tokens)}
    limits = {**reply.body.get("limits", {}), **asked}
    beyond = any(reply.spent(axis) > limits[axis] for axis in EXACT if axis in limits)
    return beyond or bool(reply.body.get("violated"))


async def ask(session: aiohttp.ClientSession, base: str, wish: Wish) -> Reply:
    """Send one request, and wait for the reply."""
    start = time.perf_counter()
    limit = aiohttp.ClientTimeout(total=REPLY_SECONDS)
    try:
        async with session.post(f"{base}/answer", json=wish.body, timeout=limit) as response:
            body = await response.json()
            seconds = time.perf_counter() - start
            return Reply(wish, response.status, seconds, body, response.headers.get("Retry-After"))
    except (aiohttp.ClientError, TimeoutError):
        return Reply(wish, 0, time.perf_counter() - start)


async def crowd(
    base: str, wishes: Sequence[Sequence[Wish]], on_reply: Callable[[], None] = lambda: None
) -> list[Reply]:
    """One user per inner list, all at once; each sends its requests one after the other."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def user(own: Sequence[Wish]) -> list[Reply]:
            replies = []
            for wish in own:
                replies.append(await ask(session, base, wish))
                on_reply()
            return replies

        return [reply for replies in await asyncio.gather(*map(user, wishes)) for reply in replies]
