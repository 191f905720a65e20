"""Budgeted agents served over HTTP to many users at once, in front of a real vLLM server on a CPU. The model is noise.

    python recipes/bench/agent_load
    python recipes/bench/agent_load --quick

By .venvs/llamaindex; the server runs in .venvs/vllm. Tokens and model calls are counted by vLLM, searches by the tool,
and both are held against what the service says that its runs took. Then come users who go away, send rubbish or come
all at once, and a model server that is killed under its load: there every run is checked call by call. Exits with 1 if
a budget was passed, an account was wrong, or a request hung.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile import Findings, hostile_load, killed_server
from levels import KINDS, Level, broken_promises, measure_block, row_of, warm_up
from processes import ServiceProcess, start_service
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from users import BUDGETS

sys.path.append(str(Path(__file__).parents[2]))
import vllm_server

MOST_OF_ONE = 40
"""Requests of one user at one level, of each kind."""
VLLM_OPTIONS = ("--max-model-len", "8192", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
HEAD = (
    "users",
    "agent",
    "requests",
    "no answer",
    "requests/s",
    "p50 / p95 / p99 s",
    "tokens/s",
    "tokens (vLLM)",
    "differs",
    "searches",
    "over budget",
    "service CPU ms/request",
)


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    users: tuple[int, ...]
    requests: int
    """Of each kind at each number of users, at least."""
    rounds: int
    """Blocks of each kind; those of different kinds are made in turns."""
    hostile: int
    comes_back: bool

    def each(self, num_users: int) -> int:
        """Requests of one user in one block."""
        wanted = min(self.requests, MOST_OF_ONE * num_users)
        return max(1, round(wanted / self.rounds / num_users))


FULL = Plan(users=(1, 8, 32, 64), requests=128, rounds=2, hostile=40, comes_back=True)
QUICK = Plan(users=(1, 8), requests=10, rounds=1, hostile=14, comes_back=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--users", type=int, nargs="+", help="numbers of users at once")
    parser.add_argument("--out", type=Path, help="folder for result.json")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else FULL
    plan = Plan(**{**vars(plan), "users": tuple(arguments.users)}) if arguments.users else plan
    with tempfile.TemporaryDirectory() as folder:
        levels, findings = run(plan, Path(folder), Console(stderr=True))
    return report(levels, findings, arguments.out)


def run(plan: Plan, folder: Path, console: Console) -> tuple[list[Level], dict[str, Findings]]:
    """Load first, then hostility, and the kill last."""
    model = vllm_server.make_tiny_model(folder / "model")
    options = [*VLLM_OPTIONS, "--max-num-seqs", str(max(plan.users))]
    with console.status("starting vLLM"), vllm_server.start(model, *options) as vllm:
        with start_service(
            folder, vllm.api_base, "--max-tokens", "96", "--max-running", str(max(plan.users))
        ) as service:
            warm_up(vllm, service)
            levels = load(plan, vllm, service, console)
        print_levels(levels)
        console.print("hostile users")
        hostile = asyncio.run(hostile_load(vllm, folder, plan.hostile))
        console.print("a model server that is killed")
        again = vllm_server.start(model, *options) if plan.comes_back else None
        killed = asyncio.run(killed_server(vllm, folder, max(plan.users) // 2, again))
    return levels, {"hostile users": hostile, "the model server is killed": killed}


def load(plan: Plan, vllm: Any, service: ServiceProcess, console: Console) -> list[Level]:
    """All kinds at all numbers of users."""
    measured = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for num_users in plan.users:
            each = plan.each(num_users)
            levels = [Level(kind, num_users) for kind in KINDS]
            total = num_users * each * plan.rounds * len(levels)
            task = progress.add_task(f"{num_users} users", total=total)
            for _ in range(plan.rounds):
                for level in levels:
                    measure_block(level, vllm, service, each, lambda task=task: progress.advance(task))
            measured += levels
    return measured


def print_levels(levels: list[Level]) -> None:
    """The table, as it stands in RESULTS.md."""
    for cells in (HEAD, ("---:", "---", *["---:"] * (len(HEAD) - 2)), *map(row_of, levels)):
        print("| " + " | ".join(cells) + " |")
    print(f"\ntight: budgets {', '.join(BUDGETS)} (tool calls / output tokens) in turn; otherwise 4/1000")
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)


def report(levels: list[Level], findings: dict[str, Findings], out: Path | None) -> int:
    """Print what was seen and what was broken; the exit status."""
    broken = [what for level in levels for what in broken_promises(level)]
    for name, found in findings.items():
        print(f"\n{name}")
        print("\n".join(f"  {count:>8,}  {what}" for what, count in sorted(found.seen.items())))
        broken += [f"{name}: {count} x {what}" for what, count in found.broken.items() if count]
    print(f"\nbroken promises: {len(broken)}")
    print("\n".join(f"  {what}" for what in broken))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        rows = [row_of(level) for level in levels]
        facts = {"head": HEAD, "rows": rows, "broken": broken, "seen": {name: f.seen for name, f in findings.items()}}
        (out / "result.json").write_text(json.dumps(facts, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
