"""What the budget controller costs per decision, per trace record and at import.

    python recipes/bench/budget_overhead.py

A state with 50 passages of about 100 words, three candidate queries and the heuristic value model; the limits are
medians. Warm-up calls are not counted, garbage collection is on. Imports are timed in fresh processes with compiled
bytecode, as an installer leaves it.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable

import pydantic
from micros import MICRO, Row, print_rows, timed

from gainful.budget import Budget, Controller, Cost, Ledger, Observation, Passage, SearchState, Usage
from gainful.budget.hostile import seeded
from gainful.budget.recording import step_record

IMPORT = """
import time
wall, processor = time.perf_counter(), time.process_time()
import gainful.budget
print(time.perf_counter() - wall, time.process_time() - processor)
"""
QUESTION = "When was the director of the film Solaris born, and where did the wife of Ada Lovelace's father live?"


def busy_state(controller: Controller) -> SearchState:
    """Two searches done, 50 passages found, a proposal pending: three queries to choose from."""
    draw = seeded(0)
    words = [f"word{number}" for number in range(400)] + ["Solaris", "Ada Lovelace", "Andrei Tarkovsky", "born", "film"]
    state = controller.start(QUESTION, Budget(tool_calls=9, output_tokens=2000, llm_calls=9, seconds=600), 0.0)
    for first in (0, 25):
        found = tuple(
            Passage(title=f"Title {number}", text=" ".join(draw.choices(words, k=100)), score=draw.random())
            for number in range(first, first + 25)
        )
        decision = controller.decide(state, 0.0)
        search = next(option.move for option in decision.options if option.move.kind == "SEARCH")
        action = controller.begin(state, decision.model_copy(update={"kind": "SEARCH", "move": search}), 0.0)
        controller.observe(state, action, Observation(passages=found), 1.0)
    state.pending = "birth date of Andrei Tarkovsky"
    state.queries = state.queries[1:]  # so that the question itself is new once more
    state.refresh()
    assert len(state.evidence) == 50
    assert len(state.digest.searches) == 3
    return state


def record_call(controller: Controller, state: SearchState) -> Callable[[], object]:
    """Builds and appends the record of one finished search with five passages."""
    action = controller.begin(state, controller.decide(state, 2.0), 2.0)
    opened, ledger = state.open, state.ledger
    found = tuple(Passage(title=f"New {number}", text="word " * 100) for number in range(5))
    reserved = ledger.amounts_of(action.reservation_id)
    charge = ledger.settle(action.reservation_id, None, 3.0)

    def call() -> None:
        state.trace.append(step_record(state, opened, Observation(passages=found), reserved, charge, ("a",), ()))
        state.trace.records.pop()

    return call


def ledger_call() -> Callable[[], object]:
    """Reserves and settles one model call on five limited axes."""
    ledger = Ledger(Budget(tool_calls=10**9, output_tokens=10**9, llm_calls=10**9, seconds=1e6, input_tokens=10**9))
    cost, usage = Cost(llm_calls=1, output_tokens=50, input_tokens=500, seconds=10), Usage(output_tokens=40)

    def call() -> None:
        ledger.settle(ledger.reserve(cost, "step", 1.0).id, usage, 1.0)

    return call


def import_micros(repeats: int) -> tuple[list[float], list[float]]:
    """Wall time and processor time of importing, pydantic's share included, in microseconds."""
    command = [sys.executable, "-c", IMPORT]
    with tempfile.TemporaryDirectory() as folder:
        compiled = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        # the first one compiles
        printed = [
            subprocess.run(command, capture_output=True, text=True, check=True, env=compiled).stdout
            for _ in range(repeats + 1)
        ][1:]
    wall, processor = zip(*((MICRO * float(value) for value in line.split()) for line in printed), strict=True)
    return list(wall), list(processor)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--warm-up", type=int, default=500)
    parser.add_argument("--imports", type=int, default=11)
    arguments = parser.parse_args()
    controller = Controller()
    state = busy_state(controller)
    wall, processor = import_micros(arguments.imports)
    many = (arguments.calls, arguments.warm_up)
    rows: list[Row] = [
        ("decide, 50 passages", 200.0, timed(lambda: controller.decide(state, 2.0), *many)),
        ("trace record", 100.0, timed(record_call(controller, state), *many)),
        ("reserve and settle", None, timed(ledger_call(), *many)),
        ("import gainful.budget", 0.3 * MICRO, wall),
        ("  its processor time", None, processor),
    ]
    return print_rows(rows, f"Python {platform.python_version()}, pydantic {pydantic.VERSION}")


if __name__ == "__main__":
    sys.exit(main())
