"""Users who go away, send rubbish, ask for nothing or come all at once, and a model server that is killed."""

import asyncio
import json
import random
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import aiohttp
from processes import ServiceProcess, start_service
from recorder import Recorder, recorder
from users import BUDGETS, Reply, Wish, ask, crowd, over_limit

__all__ = ["Findings", "hostile_load", "killed_server", "on_recorder"]

MAX_RUNNING, MAX_WAITING = 16, 80
KILLED_SECONDS = 30.0
"""After a kill, the slowest reply must be there by then."""
RUBBISH = (
    (b"x" * 1_000_000, 413),
    (b"not json", 400),
    (b"[" * 50_000, 400),
    (b'{"question": ""}', 422),
    (b'{"question": "a", "budget": "99/300"}', 422),
    (b'{"question": "a", "budget": {"output_tokens": -1}}', 422),
    (b'{"question": "a", "agent": "root"}', 422),
)


class Findings:
    """What was seen, and what must not have been."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def check(self, what: str, *, broken: bool) -> None:
        """Count a promise that did not hold."""
        self.broken[what] += broken


async def hostile_load(vllm: Any, folder: Path, scale: int) -> Findings:
    """All kinds of users at once, `scale` of each.

    Each reply is held against what the recorder saw of the same run; those whose users went away, against the sum.
    """
    found, draw = Findings(), random.Random(7)  # noqa: S311 (patience, not secrets)
    async with recorder(vllm.base) as calls:
        with await on_recorder(folder, calls) as service:
            before = await asyncio.to_thread(vllm.metric, "generation_tokens_total")
            gone = [Wish(f"gone{n}", ("guarded", "search")[n % 2], "4/1000") for n in range(scale)]
            stays = [[Wish(f"stays{n}", ("guarded", "search")[n % 2], BUDGETS[n % 5])] for n in range(scale)]
            async with aiohttp.ClientSession() as session:
                results = await asyncio.gather(
                    crowd(service.base, stays),
                    *(_goes_away(session, service, calls, wish, draw.uniform(0.0, 0.3)) for wish in gone),
                    *(_send(session, service, *RUBBISH[n % len(RUBBISH)], found) for n in range(scale)),
                )
                await asyncio.to_thread(service.wait_until_idle)
                await _burst(session, service, found)
            found.seen["users who went away in the middle"] = sum(results[1 : scale + 1])
            found.seen["model calls that were broken off"] = calls.num_broken_off
            await _check_all(found, service, calls, results[0])
            wrote = await asyncio.to_thread(vllm.metric, "generation_tokens_total") - before
            spent = await asyncio.to_thread(service.spent, "output_tokens")
            found.seen["tokens that the server wrote"], found.seen["tokens that were charged"] = int(wrote), int(spent)
            found.check("the server wrote more than was charged", broken=wrote > spent)
    return found


async def killed_server(vllm: Any, folder: Path, num_users: int, again: AbstractContextManager[Any] | None) -> Findings:
    """The model server dies in the middle of the load; with `again`, another one comes in its place."""
    found = Findings()
    async with recorder(vllm.base) as calls:
        with await on_recorder(folder, calls) as service:
            wishes = [
                [Wish(f"k{n}t{turn}", ("guarded", "search")[n % 2], BUDGETS[2 + n % 3]) for turn in range(3)]
                for n in range(num_users)
            ]
            load = asyncio.create_task(crowd(service.base, wishes))
            await _until_busy(calls, num_users)
            await asyncio.to_thread(vllm.kill)
            try:
                replies = await asyncio.wait_for(load, KILLED_SECONDS)
            except TimeoutError:
                replies = []
                found.check("a request hung after the server was killed", broken=True)
            for reply in replies:
                found.seen[f"status {reply.status}, {reply.body.get('answered_by') or reply.body.get('error')}"] += 1
                found.check("neither an answer nor an error", broken=reply.status not in (200, 502))
            await _check_all(found, service, calls, replies)
            if again is not None:
                await _comes_back(found, service, calls, again)
    return found


async def on_recorder(folder: Path, calls: Recorder) -> AbstractContextManager[ServiceProcess]:
    """A small service whose model calls go through `calls`; entered in a thread, since the recorder needs the loop."""
    options = ["--max-running", str(MAX_RUNNING), "--max-waiting", str(MAX_WAITING), "--max-tokens", "96"]
    options += ["--wait-seconds", "100"]
    context = start_service(folder, f"{calls.base}/v1", *options)
    service = await asyncio.to_thread(context.__enter__)
    return _Entered(context, service)


class _Entered(AbstractContextManager[ServiceProcess]):
    def __init__(self, context: AbstractContextManager[ServiceProcess], service: ServiceProcess) -> None:
        self._context, self._service = context, service

    def __enter__(self) -> ServiceProcess:
        return self._service

    def __exit__(self, *error: Any) -> bool | None:
        return self._context.__exit__(*error)


async def _check_all(found: Findings, service: ServiceProcess, calls: Recorder, replies: list[Reply]) -> None:
    """Nothing runs any more, each account agrees with what the server wrote for that run, and so does the sum."""
    idle = await asyncio.to_thread(service.wait_until_idle)
    found.check("runs that go on although nobody waits", broken=not idle)
    for reply in replies:
        _check_one(found, calls, reply)
    charged = await asyncio.to_thread(service.spent, "output_tokens")
    owed = sum(calls.owed(tag) for tag in list(calls.calls))
    found.check("fewer tokens charged in all than are owed", broken=charged < owed)
    found.check("violations in the service's own metrics", broken=await _metric(service, "violations_total") > 0)
    found.check("model calls that belong to no user", broken=bool(calls.calls[""]))


def _check_one(found: Findings, calls: Recorder, reply: Reply) -> None:
    found.seen["runs whose account was checked call by call"] += 1
    tag, tokens = reply.wish.tag, reply.spent("output_tokens")
    limit = int(reply.wish.budget.partition("/")[2])
    found.check("a user without exactly one reply", broken=reply.status == 0)
    if reply.status in (200, 502):
        found.check("runs over a limit by their own account", broken=over_limit(reply))
        found.check("a run was charged less than it owes", broken=tokens < calls.owed(tag))
        # a failed answer costs a search agent all that its budget held for it, even if the model's own cap is lower
        exact = reply.wish.agent == "guarded" or all(call.tokens is not None for call in calls.calls[tag])
        found.check("a run's tokens differ from the server's usage", broken=exact and tokens != calls.owed(tag))
        found.check("a run's model calls differ", broken=reply.spent("llm_calls") != len(calls.calls[tag]))
    found.check("the server was asked for more than the budget", broken=calls.most(tag) > limit)


async def _goes_away(
    session: aiohttp.ClientSession, service: ServiceProcess, calls: Recorder, wish: Wish, patience_seconds: float
) -> bool:
    """Ask, and leave soon after the model was first called for it; true if there was no reply until then."""
    asking = asyncio.create_task(ask(session, service.base, wish))
    while not (calls.calls.get(wish.tag) or asking.done()):
        await asyncio.sleep(0.005)
    await asyncio.wait([asking], timeout=patience_seconds)
    return asking.cancel()


async def _burst(session: aiohttp.ClientSession, service: ServiceProcess, found: Findings) -> None:
    """More at once than there is room for: some are sent away at once, and told when to come again."""
    room = MAX_RUNNING + MAX_WAITING
    wishes = [Wish(f"burst{n}", "guarded", "0/30") for n in range(2 * room)]
    replies = await asyncio.gather(*(ask(session, service.base, wish) for wish in wishes))
    by_status = Counter(reply.status for reply in replies)
    found.seen["burst: answered"], found.seen["burst: sent away with 503"] = by_status[200], by_status[503]
    found.check("a burst: neither 200 nor 503", broken=set(by_status) - {200, 503} != set())
    found.check("a burst: fewer answers than there is room", broken=by_status[200] < room)
    found.check("503 without Retry-After", broken=any(r.status == 503 and not r.retry_after for r in replies))


async def _send(
    session: aiohttp.ClientSession, service: ServiceProcess, body: bytes, status: int, found: Findings
) -> None:
    try:
        async with session.post(f"{service.base}/answer", data=body) as response:
            error = json.loads(await response.read()).get("error")
            found.seen[f"rubbish: {response.status}"] += 1
            found.check(f"rubbish: {response.status} instead of {status}", broken=response.status != status)
            found.check("rubbish: no reason given", broken=not error)
    except aiohttp.ClientConnectionError:  # closed on us while we were still sending
        found.seen["rubbish: connection closed"] += 1
        found.check("rubbish: connection closed on a small body", broken=status != 413)


async def _until_busy(calls: Recorder, num_calls: int) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while sum(map(len, calls.calls.values())) < num_calls:
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"expected {num_calls} model calls within 60 s")
        await asyncio.sleep(0.01)


async def _comes_back(found: Findings, service: ServiceProcess, calls: Recorder, again: Any) -> None:
    vllm = await asyncio.to_thread(again.__enter__)
    try:
        calls.upstream = vllm.base
        replies = await crowd(service.base, [[Wish("back1", "guarded", "2/300")], [Wish("back2", "search", "2/300")]])
        found.seen["answered by the next server"] = sum(reply.status == 200 for reply in replies)
        found.check("no answer from the next server", broken=any(reply.status != 200 for reply in replies))
        await _check_all(found, service, calls, replies)
    finally:
        await asyncio.to_thread(again.__exit__, None, None, None)


async def _metric(service: ServiceProcess, name: str) -> float:
    return await asyncio.to_thread(service.metric, name)
