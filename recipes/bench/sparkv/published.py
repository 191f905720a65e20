"""The timings that RESULTS.md shows: what is run unless options ask for something else."""

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
    sweep = Setup(
        group="sweep",
        model="60M",
        dtype="bfloat16",
        conditions=conditions([2048], MBIT, [0.0], EXTRA),
        methods=tuple(METHODS),
        repeats=5,
        multiprocess=False,
    )
    longer = Setup(
        group="longer prompts",
        model="60M",
        dtype="bfloat16",
        conditions=conditions([4096, 1024], [], [0.0], ("drop", "outage")),
        methods=FEW,
        repeats=5,
        multiprocess=False,
    )
    longest = Setup(
        group="longest prompt",
        model="60M",
        dtype="bfloat16",
        conditions=conditions([8192], [], [0.0], ()),
        methods=FEW,
        repeats=5,
        multiprocess=False,
    )
    round_trips = Setup(
        group="round trips",
        model="60M",
        dtype="bfloat16",
        conditions=conditions([2048], [], [20.0, 50.0], ()),
        methods=(*FEW, OURS_INT8),
        repeats=5,
        multiprocess=False,
    )
    larger = Setup(
        group="larger model",
        model="234M",
        dtype="bfloat16",
        conditions=conditions([2048], [], [0.0], ("drop", "outage")),
        methods=FEW,
        repeats=5,
        multiprocess=False,
    )
    return [sweep, longer, longest, round_trips, larger]
