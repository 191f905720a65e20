"""So many users at once: answers a second, how long they wait, and whether the accounts agree with the servers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from processes import ServiceProcess
from users import BUDGETS, Reply, Wish, crowd, over_limit

__all__ = ["KINDS", "Kind", "Level", "broken_promises", "measure_block", "row_of", "warm_up"]

ROOMY = ("4/1000",)


@dataclass(frozen=True)
class Kind:
    """What is asked of whom in one block of requests."""

    name: str
    agent: str
    budgets: tuple[str, ...]


KINDS = (
    Kind("stock", "stock", ROOMY),
    Kind("guarded", "guarded", ROOMY),
    Kind("guarded, tight", "guarded", BUDGETS),
    Kind("search, tight", "search", BUDGETS),
)
"""The first two do the same work: what they differ by is the guard."""


@dataclass
class Level:
    """All blocks of one kind at one number of users."""

    kind: Kind
    num_users: int
    replies: list[Reply] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    server_tokens: int = 0
    """As vLLM counts them."""
    server_calls: int = 0
    searches: int = 0
    """As the tool counts them."""

    @property
    def budgeted(self) -> bool:
        return self.kind.agent != "stock"

    @property
    def num_unanswered(self) -> int:
        """Requests that did not get exactly one answer."""
        return sum(reply.status != 200 or not reply.body.get("answer") for reply in self.replies)

    def total(self, axis: str) -> int:
        """Sum of what the replies say."""
        return int(sum(reply.spent(axis) for reply in self.replies))


def measure_block(level: Level, vllm: Any, service: ServiceProcess, each: int, on_reply: Callable[[], None]) -> None:
    """One block: every user sends `each` requests. Blocks of different kinds are made in turns."""
    number = len(level.replies)
    wishes = [[_wish(level, number + user * each + turn) for turn in range(each)] for user in range(level.num_users)]
    tokens, calls = vllm.metric("generation_tokens_total"), vllm.metric("request_success_total")
    searches, cpu, start = service.num_searches, service.cpu_seconds(), time.perf_counter()
    level.replies += asyncio.run(crowd(service.base, wishes, on_reply))
    level.seconds += time.perf_counter() - start
    level.cpu_seconds += service.cpu_seconds() - cpu
    level.searches += service.num_searches - searches
    level.server_calls += int(vllm.metric("request_success_total") - calls)
    level.server_tokens += int(vllm.metric("generation_tokens_total") - tokens)


def warm_up(vllm: Any, service: ServiceProcess) -> None:
    """What is slow the first time: compiled grammars, caches, connections."""
    for kind in KINDS:
        measure_block(Level(kind, 4), vllm, service, 1, lambda: None)


def _wish(level: Level, number: int) -> Wish:
    return Wish(f"u{number}", level.kind.agent, level.kind.budgets[number % len(level.kind.budgets)])


def broken_promises(level: Level) -> list[str]:
    """What must not happen, and did."""
    if not level.budgeted:
        return []  # it promised nothing
    found = {
        "requests without exactly one answer": level.num_unanswered,
        "runs over a limit": sum(map(over_limit, level.replies)),
        "tokens that differ from the server's count": level.server_tokens - level.total("output_tokens"),
        "model calls that differ from the server's count": level.server_calls - level.total("llm_calls"),
        "searches that differ from the tool's count": level.searches - level.total("tool_calls"),
    }
    return [f"{level.kind.name}, {level.num_users} users: {count} {what}" for what, count in found.items() if count]


def row_of(level: Level) -> tuple[str, ...]:
    """One line of the table."""
    count, seconds = len(level.replies), [reply.seconds for reply in level.replies]
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    differs = f"{level.server_tokens - level.total('output_tokens'):,}" if level.budgeted else "-"
    return (
        str(level.num_users),
        level.kind.name,
        str(count),
        str(level.num_unanswered),
        f"{count / level.seconds:.2f}",
        f"{p50:.2f} / {p95:.2f} / {p99:.2f}",
        f"{level.server_tokens / level.seconds:,.0f}",
        f"{level.server_tokens:,}",
        differs,
        str(level.searches),
        str(sum(map(over_limit, level.replies))) if level.budgeted else "-",
        f"{1e3 * level.cpu_seconds / count:.1f}",
    )
