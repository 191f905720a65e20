"""What SparKV's decisions cost: a plan per request, the events of a race, a fit of the cost model, the import.

    python recipes/bench/sparkv_plan.py

Plans and events run in hooks of the engine's scheduler, at every step: the limits are medians. 65,536 tokens are 512
chunks of 128. Events are timed one by one; reading the clock twice is taken off. Imports are processor time in fresh
processes; engines have imported numpy and pydantic before us.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from micros import MICRO, Row, print_rows, timed

from gainful.sparkv import (
    ChunkLayout,
    ComputeModel,
    LinkEstimate,
    PrefillSample,
    Rebalancer,
    RebalancerOptions,
    RouteCosts,
    fit_compute,
    plan,
    route_costs,
)

LAYOUT = ChunkLayout(num_chunks=512, chunk_tokens=128, chunk_bytes=128 * 32768)
MODEL = ComputeModel(step_seconds=1e-3, token_seconds=8e-4, pair_seconds=2.6e-8, num_samples=64, relative_error=0.01)
LINK = LinkEstimate(
    bytes_per_second=8e7, low_bytes_per_second=4e7, high_bytes_per_second=1e8, round_trip_s=0.05, num_samples=64
)
IMPORT = """
import time
{before}
start = time.process_time()
{statement}
print(time.process_time() - start)
"""
HAS_US = "import gainful"
HAS_ALL = "import gainful.sparkv, numpy, pydantic"
USES = "from gainful.sparkv import plan, Rebalancer, race_report"


def costs() -> RouteCosts:
    found = route_costs(LAYOUT, MODEL, LINK, step_tokens=2048)
    assert isinstance(found, RouteCosts)
    return found


def race_events() -> Iterator[tuple[str, Callable[[], object]]]:
    """One race from start to end, an engine step for every fetched chunk, asked twice as often as anything happens."""
    race = Rebalancer(LAYOUT, now=0.0, options=RebalancerOptions(window_chunks=3))
    in_flight: list[int] = []
    now, frontier = 0.0, 0

    def ask() -> None:
        chunk = race.next_fetch(now)
        if chunk is not None:
            in_flight.append(chunk)

    while race.met() is None:
        for _ in range(2):
            yield "next_fetch", ask
            yield "met", race.met
        now += 0.01
        arrived = in_flight.pop(0)
        yield "on_fetched", lambda chunk=arrived, at=now: race.on_fetched(chunk, at)
        frontier += LAYOUT.chunk_tokens
        yield "on_computed", lambda tokens=frontier, at=now: race.on_computed(tokens, at)
    assert race.hand_over(now).end_token == LAYOUT.end_token


def event_micros(races: int) -> dict[str, list[float]]:
    """Microseconds by kind of event, the clock's own taken off."""
    clock = statistics.median(timed(lambda: None, 10_000, 1000))
    samples: dict[str, list[float]] = {}
    for number in range(races + 1):
        for kind, call in race_events():
            start = time.perf_counter()
            call()
            spent = (time.perf_counter() - start) * MICRO
            if number:  # the first race warms up
                samples.setdefault(kind, []).append(spent - clock)
    return samples


def fit_call() -> Callable[[], object]:
    """256 noisy steps, the whole window of a calibration."""
    draw = np.random.default_rng(0)
    samples = [
        PrefillSample(num_tokens=n, position=p, seconds=MODEL.seconds(n, p) * float(np.exp(draw.normal(0, 0.1))))
        for n, p in zip(draw.integers(16, 2048, 256).tolist(), draw.integers(0, 65536, 256).tolist(), strict=True)
    ]
    return lambda: fit_compute(samples)


def import_micros(repeats: int, statement: str, before: str = "") -> list[float]:
    """Processor time of an import in a fresh process, after what a host has imported anyway."""
    command = [sys.executable, "-c", IMPORT.format(statement=statement, before=before)]
    printed = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(repeats)]
    return [MICRO * float(value) for value in printed]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--warm-up", type=int, default=200)
    parser.add_argument("--races", type=int, default=30)
    parser.add_argument("--imports", type=int, default=11)
    arguments = parser.parse_args()
    ready = costs()
    many = (arguments.calls, arguments.warm_up)
    rows: list[Row] = [
        ("plan, 512 chunks", 200.0, timed(lambda: plan(ready), *many)),
        ("costs and plan, 512 chunks", 200.0, timed(lambda: plan(costs()), *many)),
        *((f"event: {kind}", 5.0, samples) for kind, samples in event_micros(arguments.races).items()),
        ("fit, 256 steps", None, timed(fit_call(), arguments.calls // 10, 20)),
        ("import gainful", None, import_micros(arguments.imports, "import gainful")),
        ("import gainful.sparkv after it", 5_000.0, import_micros(arguments.imports, "import gainful.sparkv", HAS_US)),
        ("import numpy, pydantic", None, import_micros(arguments.imports, "import numpy, pydantic")),
        ("planner, rebalancer after all", 100_000.0, import_micros(arguments.imports, USES, HAS_ALL)),
    ]
    return print_rows(rows, f"Python {platform.python_version()}, numpy {np.__version__}", digits=1)


if __name__ == "__main__":
    sys.exit(main())
