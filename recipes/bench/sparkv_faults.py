"""Inject faults into the connector for vLLM: tokens must be right, nothing may hang, nothing may be left behind.

    python recipes/bench/sparkv_faults.py
    python recipes/bench/sparkv_faults.py --faults 500 --seed 1 --part arithmetic

Most faults hit vLLM's own scheduler and cache manager with a model of arithmetic, whose tokens depend on every byte of
the cache; some a redis-server that is killed and comes back; some a real engine with a small Llama in float32. A fault
counts when it has struck, not when it was planned. Exits with 1 if anything went wrong.
"""

import argparse
import faulthandler
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.clock import Clock
from faults.engine import one_case, open_engine
from faults.host import Host, host_config, write_model_folder
from faults.scenario import KINDS, Library, Tally, draw_plan, run, seeded, wrong_entries
from faults.server import Server

from gainful.sparkv.stores import Store, open_store

PARTS = ("arithmetic", "redis", "engine")
SCENARIOS = 60
"""Of one engine, before another one takes over."""
REDIS_SHARE, ENGINE_SHARE = 0.03, 0.02
"""Of all faults."""
PATIENCE_S = 120
"""A part that hangs in C or in a lock is ended with a traceback of all threads."""
PROBLEMS = ("wrong tokens", "wrong bytes stored", "hang", "leak", "wrong counts")


def make_host(draw: random.Random, configs: dict[int, Any], store: Store) -> Host:
    """An engine with one or two ranks, plenty or little of everything."""
    return Host(
        configs[draw.choice((1, 1, 2))],
        store,
        draw.choice((34, 70, 200)),
        chunk_blocks=draw.choice((1, 1, 2, 3)),
        lookup_seconds=0.1,
        load_seconds=0.3,
        stall_seconds=0.1,
        save_seconds=0.3,
        max_loads=draw.choice((1, 4)),
        staging_bytes=draw.choice((40_000, 1 << 30)),
        save_bytes=draw.choice((200_000, 1 << 30)),
    )


def embedded(draw: random.Random, folder: Path, number: int) -> Store:
    """In memory or a folder, with plenty of room or little."""
    url, options = draw.choice(
        (
            (f"memory://{folder}/{number}", {}),
            (f"memory://{folder}/{number}", {"capacity_bytes": 400_000}),
            (f"file://{folder}/{number}", {"durable": False}),
            (f"file://{folder}/{number}", {"durable": False, "capacity_bytes": 400_000}),
        )
    )
    return open_store(url, options)


def finish(host: Host, library: Library, number: int, tally: Tally) -> None:
    """An engine's last words."""
    for story in wrong_entries(host, library.all):
        tally.problem("wrong bytes stored", f"{number}: {story}")
    tally.faults += host.faults.struck
    tally.counters += host.counters
    tally.num_squeezed += host.num_squeezed
    print(f"engine {number}: {tally.faults.total()} faults, {dict(tally.problems)}", file=sys.stderr)
    host.close()


def arithmetic(num_faults: int, seed: int, configs: dict[int, Any], folder: Path, clock: Clock, tally: Tally) -> None:
    """Engines one after the other, each with its store."""
    number = 0
    while tally.faults.total() < num_faults:
        draw = seeded(f"{seed} {number}")
        host, library = make_host(draw, configs, embedded(draw, folder, number)), Library(draw)
        for index in range(SCENARIOS):
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            plan = draw_plan(f"{number}.{index}", draw, library, host.num_ranks, KINDS)
            if not run(host, plan, clock, tally):
                break
        finish(host, library, number, tally)
        number += 1


def redis(num_faults: int, seed: int, configs: dict[int, Any], folder: Path, clock: Clock, tally: Tally) -> None:
    """The same with real servers that are killed, among other things."""
    number = 0
    while tally.faults.total() < num_faults:
        draw = seeded(f"redis {seed} {number}")
        server = Server(folder / f"redis-{number}", keeps=number % 2 == 0)
        host, library = make_host(draw, configs, open_store(server.url)), Library(draw)
        host.server = server
        for index in range(SCENARIOS // 2):
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            kinds = ("store killed",) if index % 3 == 2 else ("preemption", "reset", "bit flip", "truncation")
            if not run(host, draw_plan(f"redis {number}.{index}", draw, library, host.num_ranks, kinds), clock, tally):
                break
            clock.slept_s += 10.0  # a store that failed is left alone for a while
        finish(host, library, number, tally)
        server.close()
        number += 1


def engine(num_faults: int, seed: int, configs: dict[int, Any], folder: Path, clock: Clock, tally: Tally) -> None:
    """One real engine."""
    with open_engine(folder / "llama") as real:
        prompts: dict[int, list[int]] = {}
        number = seed * 1_000_000
        while real.faults.struck.total() < num_faults:
            faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
            if not one_case(real, number, prompts, clock, tally):
                break
            number += 1
        tally.faults += real.faults.struck


def show(tallies: dict[str, Tally]) -> None:
    """As Markdown."""
    print("| | " + " | ".join(tallies) + " | all |\n| --- |" + " ---: |" * (len(tallies) + 1))
    everything = list(tallies.values())

    def row(name: str, value: Callable[[Tally], int], total: Callable[..., Any] = sum) -> None:
        values = [value(tally) for tally in everything]
        print(f"| {name} | " + " | ".join(f"{one:,}" for one in (*values, total(values))) + " |")

    row("scenarios", lambda tally: tally.scenarios)
    row("requests", lambda tally: tally.requests)
    row("faults that struck", lambda tally: tally.faults.total())
    for kind in (*KINDS, "store killed"):
        row(f"- {kind}", lambda tally, kind=kind: tally.faults[kind])
    row("preemptions for want of blocks, besides", lambda tally: tally.num_squeezed)
    row("prompt tokens streamed", lambda tally: tally.streamed_tokens)
    row("prompt tokens promised and computed in the end", lambda tally: tally.failed_tokens)
    for kind in PROBLEMS:
        row(f"**{kind}**", lambda tally, kind=kind: tally.problems[kind])
    row("longest scenario, ms", lambda tally: round(tally.longest_s * 1e3), max)
    sections = {
        "Requests by mode and how they went": sum((tally.outcomes for tally in everything), Counter()),
        "Fallbacks by reason, and chunks by fate": Counter(
            {
                name.replace("|", ": "): round(value)
                for name, value in sum((tally.counters for tally in everything), Counter()).items()
                if name.startswith(("fallbacks", "chunks"))
            }
        ),
    }
    for title, counts in sections.items():
        print(f"\n{title}: " + ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) + ".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, action="append", help="leave the others out; may be given twice")
    given = parser.parse_args()
    logging.getLogger("vllm").setLevel(logging.CRITICAL)
    parts = given.part or PARTS
    shares = {"redis": REDIS_SHARE, "engine": ENGINE_SHARE}
    numbers = {name: int(given.faults * shares[name]) for name in shares if name in parts}
    numbers |= {"arithmetic": given.faults - sum(numbers.values())} if "arithmetic" in parts else {}
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name, Clock().installed() as clock:
        folder = Path(name)
        configs = {ranks: host_config(write_model_folder(folder / "config"), ranks) for ranks in (1, 2)}
        for part in parts:
            tallies[part] = Tally()
            globals()[part](numbers[part], given.seed, configs, folder, clock, tallies[part])
            print(f"{part}: {tallies[part].faults.total()} faults, {dict(tallies[part].problems)}", file=sys.stderr)
    faulthandler.cancel_dump_traceback_later()
    show(tallies)
    stories = [story for tally in tallies.values() for story in tally.stories]
    print("".join(f"\n{story}" for story in stories[:20]), end="\n" if stories else "")
    sys.stdout.flush()
    os._exit(bool(stories))  # threads of stalled stores may still sleep


if __name__ == "__main__":
    main()
