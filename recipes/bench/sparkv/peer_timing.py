"""LMCache in turn with plain prefill, streaming and SparKV: the same model, prompts, steps, store and link."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines import Engine, environment
from lmcache_peer import CHUNK_TOKENS, VERSION, PeerError, Server, engine_arguments, running_server, variables
from measure import Bench, Display
from methods import METHODS, OURS, PREFILL, STREAM, Choice, Method
from models import model_folder
from records import Record
from settings import Condition, Setup
from shaping import Link

STORE_SECONDS = 120.0
FAST_LINK_MBIT = 400.0
KEPT = ("method", "condition", "seconds", "same_tokens", "received_bytes", "load_average")


@dataclass(frozen=True)
class Peer(Method):
    """Another connector, which is asked for nothing: it loads what it finds."""

    def params(self, choice: Choice, all_tokens: int) -> dict[str, Any]:
        return {}


LMCACHE = Peer("LMCache", "lmcache", "all from the store, by LMCache", "#7a9e3f")


def peer_setup(model: str = "60M", dtype: str = "bfloat16", tokens: int = 2048, repeats: int = 5) -> Setup:
    """Where both routes take equally long, and where the link wins."""
    return Setup(
        group="LMCache",
        model=model,
        dtype=dtype,
        conditions=(Condition(tokens), Condition(tokens, FAST_LINK_MBIT)),
        methods=(PREFILL, STREAM, OURS),
        repeats=repeats,
    )


def time_lmcache(setup: Setup, link: Link, bases: Path, installed: Path, folder: Path, display: Display) -> Record:
    """Facts of the conditions and all runs, those of LMCache among them."""
    bench = Bench(setup, link, bases, folder, display)
    try:
        bench.prepare()
        with running_server(installed, link.host, link.port, folder / "lmcache_server.log") as server:
            _add_lmcache(bench, server, bases, installed)
            return {"lmcache": VERSION, "setup": asdict(setup), **_in_turn(bench)}
    finally:
        bench.close()


def _add_lmcache(bench: Bench, server: Server, bases: Path, installed: Path) -> None:
    """An engine more, whose server has both prompts in the store."""
    bench.display.say("starting LMCache")
    arguments = engine_arguments(bench.setup, model_folder(bases.resolve(), bench.setup.model), server, bench.folder)
    environ = {**environment(bench.setup, bench.folder), **variables(installed)}
    engine = bench.engines[LMCACHE.engine] = Engine(LMCACHE.engine, arguments, environ, bench.folder)
    engine.wait_until_ready()
    wanted = bench.store.dbsize() + len(bench.prompts) * (bench.setup.max_tokens // CHUNK_TOKENS)
    for prompt in bench.prompts:
        engine.generate([prompt], None, bench.setup.output_tokens)
    until = time.monotonic() + STORE_SECONDS
    while (found := bench.store.dbsize()) < wanted:
        if time.monotonic() > until:
            raise PeerError(f"the store has {found} of {wanted} chunks after {STORE_SECONDS:g} s; {server.log_file}")
        time.sleep(0.1)


def _in_turn(bench: Bench) -> Record:
    methods = [*(METHODS[name] for name in bench.setup.methods), LMCACHE]
    facts, runs = [], []
    for condition in bench.setup.conditions:
        bench.display.say(condition.name)
        facts.append(known := bench.facts(condition))
        choice = Choice(**known["choice"])
        for method in methods:  # not counted: estimates of the link are then those of this condition
            bench.run(method, condition, choice)
        for repeat in range(bench.setup.repeats):
            first = repeat % len(methods)
            for method in methods[first:] + methods[:first]:
                run = bench.run(method, condition, choice)
                runs.append({name: run[name] for name in KEPT} | {"repeat": repeat})
                bench.display.advance()
    return {"facts": facts, "runs": runs}
