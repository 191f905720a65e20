"""What is done with two servers and a store: fill, read over the cable, lose the store in the middle, get it back."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from serving import BLOCK_TOKENS, Answer, Server
from two_hosts import Host

GROUPS = {"read": 3, "lost": 1, "away": 2, "kept": 3, "cold": 3, "unseen": 1, "new": 3}
"""Prompts, by what they are for; each is asked once on each server, or its own prefix cache would answer."""
KILL_AT_SHARE = 0.04
"""Of a prompt's bytes that are over the cable when the store is killed."""
SLOWER = 8.0
"""By which the cable is slowed down for that prompt, which would be over too soon else."""
LEAST_MBIT = 10.0
REST_SECONDS = 5.5
"""For which a store that failed three times in a row is left alone by the connector, and a little more."""

Prompts = Mapping[int, list[int]]
"""By number."""


class Store(Protocol):
    """`RedisPair` or `Bucket`."""

    name: str
    keeps: bool
    """Whether what was saved outlives the server that is killed."""

    def settle(self) -> None: ...
    def kill(self) -> None: ...
    def recover(self) -> str: ...


@dataclass(frozen=True)
class Row:
    """One phase on one server."""

    phase: str
    machine: int
    """1 or 2."""
    num_requests: int
    num_same: int | None
    """Answers with the tokens that the other server gave; None where this server is the first."""
    tokens: Mapping[str, int]
    """Of the prompts, by route: computed, streamed, local."""
    ttft_s: float
    """Median of the requests."""
    cable_bytes: int
    """To machine 2."""
    failures: Mapping[str, int]
    """Fallbacks by reason, and chunks that were asked for and did not come or could not be saved."""


@dataclass
class Scenario:
    """Two servers on two machines; `rows` fill as the phases pass."""

    hosts: tuple[Host, Host]
    servers: tuple[Server, Server]
    store: Store
    prompt_tokens: int
    say: Callable[[str], None]
    mbit: float | None = None
    """Of the cable; None for the rate at which streaming a prompt takes as long as computing it."""
    rows: list[Row] = field(default_factory=list)
    expected: dict[int, list[int]] = field(default_factory=dict)
    """Tokens of the first server that was asked, by a prompt's number."""

    def run(self) -> None:
        """All phases in order; raises what a server or a store raises."""
        prompts = _prompts(self.prompt_tokens)
        self._fill("nothing stored", {**prompts["read"], **prompts["lost"], **prompts["away"], **prompts["kept"]})
        self._set_rate(prompts["cold"])
        self._ask(2, "stored, read over the cable", prompts["read"])
        self._lose_store(prompts["lost"])
        self._ask(1, "store away", prompts["unseen"])
        self._ask(2, "store away", {**prompts["away"], **prompts["unseen"]})
        self.say(self.store.recover())
        time.sleep(REST_SECONDS)
        if self.store.keeps:
            self._ask(2, "back, saved before", prompts["kept"])
        self._fill("back, saved now", prompts["new"])
        self._ask(2, "back, saved now", prompts["new"])

    def _fill(self, phase: str, prompts: Prompts) -> None:
        """Compute on machine 1, until all of it is stored."""
        server = self.servers[0]
        before = server.by_label("gainful:sparkv_chunks_total", "fate")["saved"]
        self._ask(1, phase, prompts)
        chunks = sum(len(ids) // BLOCK_TOKENS for ids in prompts.values())
        server.wait_for("gainful:sparkv_chunks_total", "fate", "saved", before + chunks)
        self.store.settle()

    def _set_rate(self, cold: Prompts) -> None:
        """Of the cable, from what a prompt weighs and how long it takes to compute."""
        self._ask(1, "no store asked", cold, mode="compute", save=False)
        self._ask(2, "no store asked", cold, mode="compute", save=False)
        if self.mbit is None:
            self.mbit = max(LEAST_MBIT, self._prompt_bytes() * 8 / 1e6 / self.rows[-1].ttft_s)
        self.hosts[0].shape(self.mbit)
        self.say(
            f"the cable passes {self.mbit:.0f} Mbit/s from now on; a prompt weighs {self._prompt_bytes():,.0f} bytes"
        )

    def _prompt_bytes(self) -> float:
        chunks = self.servers[0].by_label("gainful:sparkv_chunks_total", "fate")["saved"]
        weight = self.servers[0].by_label("gainful:sparkv_bytes_total", "direction")["saved"] / chunks
        return weight * (self.prompt_tokens // BLOCK_TOKENS)

    def _lose_store(self, prompts: Prompts) -> None:
        """Killed while a prompt is being streamed."""
        assert self.mbit
        self.hosts[0].shape(self.mbit / SLOWER)
        wanted = self.hosts[1].received_bytes() + KILL_AT_SHARE * self._prompt_bytes()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self._ask, 2, "store killed meanwhile", prompts)
            while self.hosts[1].received_bytes() < wanted and not asked.done():
                time.sleep(0.005)
            self.say("SIGKILL to the store" + (", too late for the running request" if asked.done() else ""))
            self.store.kill()
            asked.result()
        self.hosts[0].shape(self.mbit)

    def _ask(self, machine: int, phase: str, prompts: Prompts, **params: object) -> None:
        """One request after the other."""
        server, cable = self.servers[machine - 1], self.hosts[1]
        failures, received = server.failures(), cable.received_bytes()
        answers = {number: server.complete(ids, **params) for number, ids in prompts.items()}
        received = cable.received_bytes() - received
        server.nudge()
        self.rows.append(
            Row(
                phase=phase,
                machine=machine,
                num_requests=len(answers),
                num_same=self._num_same(answers),
                tokens={route: _total(answers, f"{route}_tokens") for route in ("computed", "streamed", "local")},
                ttft_s=median(answer.ttft_s for answer in answers.values()),
                cable_bytes=received,
                failures=server.failures() - failures,
            )
        )
        self.say(f"machine {machine}: {phase}")

    def _num_same(self, answers: Mapping[int, Answer]) -> int | None:
        known = self.expected.keys() & answers.keys()
        same = sum(answers[number].tokens == self.expected[number] for number in known)
        self.expected |= {number: answer.tokens for number, answer in answers.items() if number not in known}
        return same if known else None


def check(rows: Sequence[Row]) -> list[str]:
    """What is not as it must be; empty if all is well."""
    wrong = [
        f"{row.phase}: {row.num_requests - row.num_same} answers are not those of plain prefill"
        for row in rows
        if row.num_same is not None and row.num_same != row.num_requests
    ]
    wrong += [
        f"{row.phase}: expected tokens from the store, found none"
        for row in rows
        if row.machine == 2 and row.phase.startswith(("stored", "back")) and not row.tokens["streamed"]
    ]
    wrong += [
        f"{row.phase}: expected fallbacks to be counted, found none"
        for row in rows
        if row.machine == 2 and row.phase == "store away" and not row.failures
    ]
    return wrong


def _prompts(num_tokens: int) -> dict[str, Prompts]:
    """Of random tokens, so that no two begin alike."""
    draw = random.Random(7)  # noqa: S311 (prompts, not secrets)
    numbers = iter(range(sum(GROUPS.values())))
    return {
        group: {next(numbers): [draw.randrange(3, 250) for _ in range(num_tokens)] for _ in range(size)}
        for group, size in GROUPS.items()
    }


def _total(answers: Mapping[int, Answer], name: str) -> int:
    return sum(answer.report[name] for answer in answers.values())
