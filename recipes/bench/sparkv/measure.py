"""Runs every method under every condition, one after the other in turn, and writes each run down as it ends."""

import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import redis
from engines import Engine, environment, llm_arguments
from hindsight import best_prefix, break_even_mbit, fit
from methods import METHODS, PREFILL, Choice, EngineName, Method, methods_of
from models import model_folder
from records import Record, keys_of, read_records, write_record
from settings import FAST_MBIT, Condition, Setup
from shaping import Link

from gainful.sparkv.costs import ComputeModel

SAMPLE_SECONDS = 0.01
NUM_LENGTHS = 8
RATE_BYTES = 24 << 20
"""At most so much is fetched to measure a link."""
RATE_SECONDS = 1.0


class Display(Protocol):
    """Where progress goes."""

    def say(self, text: str) -> None: ...

    def advance(self) -> None: ...


class Bench:
    """Engines, store and link of one setup."""

    def __init__(self, setup: Setup, link: Link, bases: Path, folder: Path, display: Display) -> None:
        self.setup, self.link, self.folder, self.display = setup, link, folder, display
        self.store = redis.Redis(link.host, link.port, socket_timeout=120.0)
        self.methods = [METHODS[name] for name in setup.methods]
        model = model_folder(bases.resolve(), setup.model)
        url = f"redis://{link.host}:{link.port}/0"
        folder.mkdir(parents=True, exist_ok=True)
        names: list[EngineName] = sorted({method.engine for method in self.methods} | {"chunked"})
        self.engines = {
            name: Engine(name, llm_arguments(name, setup, model, url, folder), environment(setup, folder), folder)
            for name in names
        }
        draw = random.Random(setup.seed)  # noqa: S311
        self.prompts = [[draw.randrange(3, 1000) for _ in range(setup.max_tokens)] for _ in range(2)]

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()

    # before the runs

    def prepare(self) -> None:
        """Start the engines, fill the store, and measure what the plans and the bound need."""
        self.link.shape(FAST_MBIT, 0.0)
        for name, engine in self.engines.items():
            self.display.say(f"starting engine {name}")
            engine.wait_until_ready()
        self.block_tokens: int = self.engines["chunked"].about["block_tokens"]
        self.layers: int = self.engines["chunked"].about["layers"]
        self.stored = {name: self._fill(name) for name in self.engines if name != "whole"}
        self._calibrate()
        self.expected = {condition: self._tokens_of(condition) for condition in self.setup.conditions}

    def _calibrate(self) -> None:
        """Fits; a run that goes on keeps those that it began with."""
        file = self.folder / "calibration.json"
        if not file.exists():
            fits = {name: self._fit(name) for name in self.engines if name != "int8"}
            file.write_text(json.dumps({"fits": fits}))
        known = json.loads(file.read_text())["fits"]
        self.fits = {name: [tuple(pair) for pair in pairs] for name, pairs in known.items()}

    def _fill(self, name: EngineName) -> int:
        """Save both prompts; bytes per reusable token, frames and all."""
        self.display.say(f"filling the store from engine {name}")
        before = self._stored_bytes()
        for prompt in self.prompts:
            self._generate(name, [prompt], {"mode": "compute", "save": True})
        chunks = 2 * (self.setup.max_tokens // self.block_tokens) + before[0]
        until = time.monotonic() + 120.0
        while self.store.dbsize() < chunks:
            if time.monotonic() > until:
                raise RuntimeError(f"{self.store.dbsize()} of {chunks} chunks were saved; see {self.folder}/{name}.log")
            time.sleep(0.05)
        count, size = self._stored_bytes()
        return (size - before[1]) // ((count - before[0]) * self.block_tokens)

    def _stored_bytes(self) -> tuple[int, int]:
        keys = list(self.store.scan_iter(count=1000))
        pipeline = self.store.pipeline(transaction=False)
        for key in keys:
            pipeline.strlen(key)
        return len(keys), sum(pipeline.execute()) if keys else 0

    def _fit(self, name: EngineName) -> list[tuple[int, float]]:
        """Whole prefills of rising length after a warm-up; the faster of two passes, since machines have other work."""
        self.display.say(f"measuring prefill of engine {name}")
        lengths = [self.setup.max_tokens * place // NUM_LENGTHS for place in range(1, NUM_LENGTHS + 1)]
        self._prefill(name, lengths[0])
        passes = [[self._prefill(name, tokens) for tokens in lengths] for _ in range(2)]
        return [(tokens, min(seconds)) for tokens, *seconds in zip(lengths, *passes, strict=True)]

    def _prefill(self, name: EngineName, tokens: int) -> float:
        self.engines[name].reset()
        return self._generate(name, [self.prompts[0][:tokens]], {"mode": "compute", "save": False})["seconds"][0]

    def _floor(self, tokens: int) -> float:
        """To the first token when all that can be reused is in the engine's cache; the fastest of three.

        Measured under every condition; the lowest of all counts.
        """
        self._prefill("chunked", tokens)
        prompt = self.prompts[0][:tokens]
        again = [self._generate("chunked", [prompt], {"mode": "compute", "save": False}) for _ in range(3)]
        return min(answer["seconds"][0] for answer in again)

    def _tokens_of(self, condition: Condition) -> list[list[int]]:
        """What plain prefill says, from its first run, for all methods to be compared with."""
        self.engines["chunked"].reset()
        prompts = self._prompts(condition)
        return self._generate("chunked", prompts, {"mode": "compute", "save": False})["tokens"]

    # one condition

    def mbit_of(self, condition: Condition) -> float:
        """Of the link; the measured break-even for conditions that name none."""
        if condition.mbit is not None:
            return condition.mbit
        return break_even_mbit(self.bytes_of(condition), self.prefill_s("chunked", condition.tokens))

    def reusable(self, condition: Condition) -> int:
        """Tokens in whole blocks, one token left to compute."""
        return (condition.tokens - 1) // self.block_tokens * self.block_tokens

    def bytes_of(self, condition: Condition) -> int:
        """Of these tokens as `raw` frames."""
        return self.stored["chunked"] * self.reusable(condition)

    def model(self, name: EngineName) -> ComputeModel:
        return fit(self.fits[name])

    def prefill_s(self, name: EngineName, tokens: int) -> float:
        """As fitted."""
        return self.model(name).seconds(tokens, 0)

    def measured_mbit(self, condition: Condition) -> float:
        """Of the link as it is set, by fetching chunks with a plain client."""
        mbit = self.mbit_of(condition)
        self.link.shape(mbit, 0.0)
        wanted = min(RATE_BYTES, mbit * 1e6 / 8 * RATE_SECONDS)
        fetched, start = 0, time.monotonic()
        for key in self.store.scan_iter(count=1000):
            fetched += len(self.store.get(key))
            if fetched >= wanted:
                break
        seconds = time.monotonic() - start
        self.link.shape(FAST_MBIT, 0.0)
        return fetched * 8 / 1e6 / seconds

    def choice_for(self, condition: Condition, mbit: float) -> Choice:
        """What methods that plan once decide, from fits and the rate at the start."""
        size, tokens = self.bytes_of(condition), self.reusable(condition)
        rate = mbit * 1e6 / 8
        streams = size / rate + condition.rtt_ms / 1000 < self.prefill_s("chunked", condition.tokens)
        prefix = 0
        if "whole" in self.engines:
            prefix = best_prefix(self.model("whole"), self.layers, tokens, self.block_tokens, rate, size)
        return Choice(streams, prefix)

    def facts(self, condition: Condition) -> Record:
        """What the bound and the reader need to know of a condition."""
        mbit = self.measured_mbit(condition)
        return {
            "condition": asdict(condition),
            "name": condition.name,
            "mbit_set": self.mbit_of(condition),
            "mbit_measured": mbit,
            "reusable_tokens": self.reusable(condition),
            "stored_bytes": self.bytes_of(condition),
            "floor_s": self._floor(condition.tokens),
            "after_s": self.after_s(condition),
            "choice": asdict(self.choice_for(condition, mbit)),
            "model": self.model("chunked").model_dump(),
            "link": self.link.kind,
        }

    def after_s(self, condition: Condition) -> float:
        """When the rate changes."""
        return condition.after_share * self.prefill_s("chunked", condition.tokens) if condition.changes else 0.0

    # one run

    def run(self, method: Method, condition: Condition, choice: Choice) -> Record:
        """One request, or some together, from an engine that remembers nothing to their first tokens."""
        engine = self.engines[method.engine]
        engine.reset()
        self.link.shape(self.mbit_of(condition), condition.rtt_ms)
        params = method.params(choice, self.reusable(condition))
        load = os.getloadavg()[0]
        before = self.link.received_bytes()
        with _busy(condition.busy), self._changing(condition), self._sampled() as samples:
            answer = self._generate(method.engine, self._prompts(condition), params)
        streamed = self.link.received_bytes() - before
        self.link.shape(FAST_MBIT, 0.0)
        return {
            "method": method.name,
            "condition": condition.name,
            "seconds": statistics.fmean(answer["seconds"]),
            "same_tokens": answer["tokens"] == self.expected[condition],
            "received_bytes": streamed,
            "load_average": round(load, 2),
            "reports": answer["reports"],
            "samples": [(round(when, 3), count) for when, count in samples],
        }

    def _generate(self, name: EngineName, prompts: list[list[int]], params: dict[str, Any]) -> dict[str, Any]:
        return self.engines[name].generate(prompts, params, self.setup.output_tokens)

    def _prompts(self, condition: Condition) -> list[list[int]]:
        return [prompt[: condition.tokens] for prompt in self.prompts[: condition.prompts]]

    @contextlib.contextmanager
    def _changing(self, condition: Condition) -> Iterator[None]:
        """The rate changes on the way, unless the run is over by then."""
        if not condition.changes:
            yield
            return
        rate = self.mbit_of(condition) * condition.factor
        timer = threading.Timer(self.after_s(condition), self.link.shape, (rate, condition.rtt_ms))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    @contextlib.contextmanager
    def _sampled(self) -> Iterator[list[tuple[float, int]]]:
        """(seconds, bytes that came) while the block runs; only where reading the count costs nothing."""
        samples: list[tuple[float, int]] = []
        if self.link.kind == "proxy":
            yield samples
            return
        start, first, over = time.monotonic(), self.link.received_bytes(), threading.Event()

        def look() -> None:
            while not over.wait(SAMPLE_SECONDS):
                samples.append((time.monotonic() - start, self.link.received_bytes() - first))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield samples
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Other processes that do nothing but compute."""
    processes = [subprocess.Popen((sys.executable, "-c", "while True: pass")) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(bench: Bench) -> None:
    """All that is not yet in `runs.jsonl`: in every repeat all methods after each other, beginning with another one."""
    setup, file = bench.setup, bench.folder / "runs.jsonl"
    done = keys_of(read_records(file))
    facts: dict[str, Record] = {one["name"]: one for one in read_records(bench.folder / "facts.jsonl")}
    with file.open("a") as runs, (bench.folder / "facts.jsonl").open("a") as known:
        for condition in setup.conditions:
            methods = methods_of(setup, condition)
            turns = [(repeat, turn) for repeat in range(setup.repeats) for turn in _rotated(methods, repeat)]
            missing = [turn for turn in turns if (condition.name, turn[1].name, turn[0]) not in done]
            if not missing:
                continue
            bench.display.say(condition.name)
            if condition.name not in facts:
                facts[condition.name] = write_record(known, bench.facts(condition))
            choice = Choice(**facts[condition.name]["choice"])
            _warm_up(bench, condition, choice)
            for repeat, method in missing:
                write_record(runs, {**bench.run(method, condition, choice), "repeat": repeat})
                bench.display.advance()


def _warm_up(bench: Bench, condition: Condition, choice: Choice) -> None:
    """One run of each method that keeps an estimate of the link, which is then that of this condition."""
    steady = Condition(condition.tokens, bench.mbit_of(condition), condition.rtt_ms)
    bench.expected.setdefault(steady, bench.expected.get(condition, []))
    for method in bench.methods:
        if method.name not in (PREFILL,) and method.engine != "whole":
            bench.run(method, steady, choice)


def _rotated(methods: list[Method], by: int) -> list[Method]:
    place = by % len(methods)
    return methods[place:] + methods[:place]
