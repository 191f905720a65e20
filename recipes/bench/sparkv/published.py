"""The timings that RESULTS.md shows: what is run unless options ask for something else."""

from functools import partial

from methods import METHODS, OURS, OURS_INT8, PREFILL, RACE, STREAM
from settings import EXTRA, Setup, conditions

MBIT = (25.0, 50.0, 100.0, 200.0, 400.0, 1000.0)
FEW = (PREFILL, STREAM, RACE, OURS)
"""What the bars need, and two pointers without a model."""


def published() -> list[Setup]:
    """Every group has engines and a folder of its own; the first one comes with all methods and conditions.

    Scheduler and worker share a process: apart, one spins while it waits for the other, and on two cores that is the
    core on which transfers and store should run.
    """
    group = partial(Setup, dtype="bfloat16", repeats=5, multiprocess=False)
    small = partial(group, model="60M")
    changing = ("drop", "outage")
    return [
        small(group="sweep", conditions=conditions([2048], MBIT, [0.0], EXTRA), methods=tuple(METHODS)),
        small(group="longer prompts", conditions=conditions([4096, 1024], [], [0.0], changing), methods=FEW),
        small(group="longest prompt", conditions=conditions([8192], [], [0.0], ()), methods=FEW),
        small(group="round trips", conditions=conditions([2048], [], [20.0, 50.0], ()), methods=(*FEW, OURS_INT8)),
        group(model="234M", group="larger model", conditions=conditions([2048], [], [0.0], changing), methods=FEW),
    ]
