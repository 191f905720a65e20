"""A few requests, some faults: drawn from a seed, run to their end, and judged."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from faults.clock import Clock
from faults.host import BLOCK_TOKENS, Host
from faults.model import tokens_after
from faults.store import STORE_KINDS, Fault, draw_fault

__all__ = ["DEADLINE_S", "KINDS", "Library", "Plan", "Tally", "draw_plan", "run", "seeded", "wrong_entries"]

KINDS = (*STORE_KINDS, "clock jump", "abort", "preemption", "prefix-cache reset")
DEADLINE_S = 10.0
"""Real seconds for a scenario; options allow some tenths, and a stall that breaks the contract lasts 30."""
STEP_DEADLINE_S = 5.0
SETTLE_S = 5.0
MODES = ("two_pointer", "two_pointer", "async_prefix", "layerwise", "compute")


def seeded(name: str) -> random.Random:
    """Equal names give equal scenarios."""
    return random.Random(name)  # noqa: S311 (faults, not secrets)


@dataclass
class Tally:
    """What happened in all scenarios."""

    scenarios: int = 0
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    stories: list[str] = field(default_factory=list)
    streamed_tokens: int = 0
    failed_tokens: int = 0
    num_squeezed: int = 0
    longest_s: float = 0.0
    longest_step_s: float = 0.0

    def problem(self, kind: str, story: str) -> None:
        """Something that must not happen."""
        self.problems[kind] += 1
        self.stories.append(f"{kind}: {story}")


@dataclass
class Wish:
    """One request: when it comes, for what, and how."""

    at_step: int
    prompt: tuple[int, ...]
    max_tokens: int
    params: dict[str, Any]


@dataclass
class Plan:
    """A scenario before it runs."""

    name: str
    wishes: list[Wish]
    faults: list[Fault]
    actions: list[tuple[int, str]]
    pause_s: float
    forgets: bool
    draw: random.Random


class Library:
    """Prompts that come again, so that a store is of use; some continue others."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.all: list[tuple[int, ...]] = []
        self._current = [self._new() for _ in range(8)]

    def _new(self) -> tuple[int, ...]:
        length = int(self._draw.triangular(20, 420, 180))
        prompt = tuple(self._draw.randrange(3, 500) for _ in range(length))
        if self.all and self._draw.random() < 0.3:
            front = self._draw.choice(self.all[-20:])
            prompt = (front[: self._draw.randrange(1, len(front))] + prompt)[:420]
        self.all.append(prompt)
        return prompt

    def pick(self) -> tuple[int, ...]:
        """One of a few, which change slowly."""
        index = self._draw.randrange(len(self._current))
        if self._draw.random() < 0.1:
            self._current[index] = self._new()
        return self._current[index]


def draw_plan(name: str, draw: random.Random, library: Library, num_ranks: int, kinds: Sequence[str] = KINDS) -> Plan:
    """Requests and faults."""
    wishes: list[Wish] = []
    for _ in range(draw.choice((1, 1, 2, 2, 3, 4))):
        again = wishes and draw.random() < 0.4
        prompt = wishes[-1].prompt if again else library.pick()
        wishes.append(Wish(draw.choice((0, 0, 0, 1, 2, 5)), prompt, draw.choice((1, 2, 4)), _params(draw)))
    chosen = [draw.choice(kinds) for _ in range(draw.randrange(1, 9))]
    if draw.random() < 0.7:
        chosen = [kind for kind in chosen if kind != "stall"] or ["reset"]  # they take their time
    chosen = ["reset" if kind == "ranks disagree" and num_ranks == 1 else kind for kind in chosen]
    faults = [draw_fault(draw, kind, num_ranks) for kind in chosen if kind in STORE_KINDS]
    actions = [(int(draw.expovariate(0.3)), kind) for kind in chosen if kind not in STORE_KINDS]
    return Plan(name, wishes, faults, actions, draw.choice((0.0, 0.0, 0.001, 0.003)), draw.random() < 0.85, draw)


def _params(draw: random.Random) -> dict[str, Any]:
    mode = draw.choice(MODES)
    params: dict[str, Any] = {"mode": mode}
    if draw.random() < 0.8:
        params["use_plan"] = False
    if draw.random() < 0.2:
        params["max_seconds"] = draw.uniform(0.01, 0.2)
    if draw.random() < 0.1:
        params["save"] = False
    if mode in ("async_prefix", "layerwise") and draw.random() < 0.2:
        params["stream_tokens"] = draw.randrange(0, 400)
    return params


def run(host: Host, plan: Plan, clock: Clock, tally: Tally) -> bool:
    """All requests of a plan, to their ends; false if the engine is of no use any more."""
    if plan.forgets:
        host.reset_prefix_cache(running_too=False)
    host.faults.arm(plan.faults)
    start = clock.real_s()
    requests = _serve(host, plan, clock, start)
    finished = requests is not None
    tally.scenarios += 1
    tally.longest_s = max(tally.longest_s, clock.real_s() - start)
    if finished:
        _judge(host, plan, requests, tally)
        finished = _settle(host, plan, clock, tally)
    else:
        tally.problem("hang", f"{plan.name}: not over after {DEADLINE_S} s")
    if host.longest_step_s > STEP_DEADLINE_S:
        tally.problem("hang", f"{plan.name}: one step took {host.longest_step_s:.1f} s")
    tally.longest_step_s = max(tally.longest_step_s, host.longest_step_s)
    host.longest_step_s = 0.0
    host.answers.clear()
    return finished


def _serve(host: Host, plan: Plan, clock: Clock, start: float) -> dict[str, Wish] | None:
    waiting = dict(enumerate(plan.wishes))
    requests: dict[str, Wish] = {}
    actions, step = list(plan.actions), 0
    while waiting or host.scheduler.requests:
        for index, wish in [item for item in waiting.items() if item[1].at_step <= step]:
            name = f"{plan.name}-{index}"
            requests[name] = waiting.pop(index)
            host.add(name, wish.prompt, wish.max_tokens, **wish.params)
        actions = [action for action in actions if action[0] > step or not _act(host, action[1], plan.draw, clock)]
        host.step()
        step += 1
        if plan.pause_s:
            time.sleep(plan.pause_s)
        if clock.real_s() - start > DEADLINE_S:
            return None
    return requests


def _act(host: Host, kind: str, draw: random.Random, clock: Clock) -> bool:
    """What befalls the engine; true if it did, and is not to be tried again in the next step."""
    scheduler = host.scheduler
    if kind == "clock jump":
        clock.jump(draw)
        done = True
    elif kind == "abort":
        alive = [name for name, request in scheduler.requests.items() if not request.is_finished()]
        done = bool(alive) and host.abort(draw.choice(alive))
    elif kind == "preemption":
        done = bool(scheduler.running)
        if done:
            host.preempt(draw.choice(scheduler.running))
    elif kind == "store killed":
        done = host.server is not None
        if host.server is not None:
            host.server.bounce(down_s=draw.choice((0.0, 0.02, 0.2)))
    else:
        done = host.reset_prefix_cache(running_too=draw.random() < 0.8)
    host.faults.struck[kind] += done
    return done


def _judge(host: Host, plan: Plan, requests: dict[str, Wish], tally: Tally) -> None:
    for name, wish in requests.items():
        answer, expected = host.answers[name], tokens_after(host.model, wish.prompt, wish.max_tokens)
        got = tuple(answer.tokens)
        tally.requests += 1
        aborted = answer.report is None
        if got != expected[: len(got)] or (len(got) < len(expected) and not aborted):
            tally.problem("wrong tokens", f"{name} {wish.params}: {got} instead of {expected}; {answer.report}")
        if aborted:
            tally.outcomes["aborted"] += 1
            continue
        report = answer.report
        tally.outcomes[f"{report['mode']}: {report['reason'].split(': ', 2)[0]}"] += 1
        if report["failed_tokens"] < 0 or report["streamed_tokens"] < 0:
            tally.problem("wrong counts", f"{name}: {report}")
        tally.streamed_tokens += report["streamed_tokens"]
        tally.failed_tokens += report["failed_tokens"]


def _settle(host: Host, plan: Plan, clock: Clock, tally: Tally) -> bool:
    """Let what is still to be written be written, end the stalls, and look at what is left; true for nothing."""
    until = clock.real_s() + 0.05
    while clock.real_s() < until and any(worker.worker_part.saver._budget.held_bytes for worker in host.workers):
        time.sleep(0.001)
    host.faults.release()
    if host.server is not None:
        host.server.wait()
    until = clock.real_s() + SETTLE_S
    while clock.real_s() < until:
        host.step()
        left = host.leaks()
        if not left:
            break
        time.sleep(0.002)
    for what, value in left.items():
        tally.problem("leak", f"{plan.name}: {what}: {value}")
    return not left


def wrong_entries(host: Host, prompts: Sequence[tuple[int, ...]]) -> list[str]:
    """Stored chunks that decode well and are not what the model computes: nobody could ever notice."""
    found = []
    per_chunk = host.part.engine.options.chunk_blocks
    for number, prompt in enumerate(prompts):
        request = host.request_of(prompt)
        numbers, _ = host.model.numbers(0, prompt, 0)
        for rank, worker in enumerate(host.workers):
            part = worker.worker_part
            keys = part.engine.spaces[rank].chunk_keys(request.block_hashes)
            for chunk, key in enumerate(keys):
                stored = host.stored(key)
                decoded = None if stored is None else part.transfers.decode(key, stored)
                if decoded is None:
                    continue
                tokens = per_chunk * BLOCK_TOKENS
                expected = numbers[chunk * tokens : (chunk + 1) * tokens]
                for layer, blocks in enumerate(decoded):
                    rows = torch.from_numpy(host.model.rows(layer, rank, expected)).view(torch.uint8)
                    if not torch.equal(blocks.reshape(-1), rows.reshape(-1)):
                        found.append(f"prompt {number}, chunk {chunk}, rank {rank}, layer {layer}")
    return found
