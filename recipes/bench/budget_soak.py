"""Many runs against a host that misbehaves in every way: no exact limit may break, each run commits one answer.

    python recipes/bench/budget_soak.py
    python recipes/bench/budget_soak.py --runs 2000 --processes 2

Each run draws a question, any combination of limits, a value model (the built-in one, or one that returns nonsense and
fails) and a host that errs, overruns its caps, reports wrong usage or none, repeats itself, jumps its clock, cancels,
and stores and restores the state in between. Calls and tokens are counted by the host, not read from the ledger. Runs
are numbered: the same numbers give the same runs on any number of processes. Exits with 1 if anything broke.
"""

import argparse
import sys
import time
from collections import Counter
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track

from gainful.budget import PriceTable
from gainful.budget.controller import Controller
from gainful.budget.hostile import HostileValue, Hostility, broken_limits, drive, random_budget, random_question, seeded
from gainful.budget.replay import replay

BATCH = 500
PRICES = PriceTable(input=1, output=2, per_tool={"web": 0.0001})
BROKEN = "broken: "


def one_run(number: int) -> Counter:
    """What happened in run `number`; anything that must not happen is counted under a name that begins with BROKEN."""
    draw = seeded(number)
    hostile = number % 2 == 1
    controller = Controller(prices=PRICES, value_model=HostileValue(draw) if hostile else "heuristic")
    seen = Counter(runs=1)
    try:
        ran = drive(controller, random_question(draw), random_budget(draw), draw, Hostility(), lambda state: None)
    except Exception as error:
        return seen + Counter({f"{BROKEN}{type(error).__name__} in run {number}: {error}": 1})
    report = ran.report
    seen.update({f"exit {report.exit_reason.partition(':')[0]}": 1, "calls": ran.tool_calls + ran.llm_calls})
    seen.update({"host ignored a cap": ran.overran, "restored in a step": ran.restored, "answers": bool(report.answer)})
    seen.update({f"{BROKEN}{what} in run {number}": 1 for what in broken_limits(ran)})
    finishes = [record for record in report.trace.records if record.record == "finish"]
    seen[f"{BROKEN}not one answer"] += len(finishes) != 1 or controller.finish(ran.state, 0.0) is not report
    seen[f"{BROKEN}audit passed although a cap was ignored"] += (
        ran.overran and report.audit_ok and ran.state.ledger.budget.output_tokens is not None
    )
    if not hostile:  # a model that draws its values anew cannot be replayed
        seen[f"{BROKEN}replay differs"] += not replay(report.trace).matches
    return seen


def batch(first: int, size: int) -> Counter:
    """Runs `first` to `first + size - 1`."""
    return sum((one_run(number) for number in range(first, first + size)), Counter())


def all_runs(runs: int, processes: int, console: Console) -> Counter:
    jobs = [(first, min(BATCH, runs - first)) for first in range(0, runs, BATCH)]
    if processes == 1:
        return sum((batch(*job) for job in track(jobs, "runs", console=console)), Counter())
    with get_context("spawn").Pool(processes) as pool:
        pending = [pool.apply_async(batch, job) for job in jobs]
        return sum((job.get() for job in track(pending, "runs", console=console)), Counter())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    console = Console(width=120)
    start = time.perf_counter()
    seen = all_runs(arguments.runs, arguments.processes, console)
    broken = {name: count for name, count in seen.items() if name.startswith(BROKEN)}
    for name, count in sorted((seen - Counter(broken)).items()):
        console.print(f"{name:<24} {count:>10,}", highlight=False)
    console.print(f"{'broken':<24} {sum(broken.values()):>10,}", highlight=False)
    for name, count in sorted(broken.items())[:20]:
        console.print(f"  {count} x {name}", highlight=False)
    console.print(f"{time.perf_counter() - start:.0f} s, {arguments.processes} process(es)", highlight=False)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
