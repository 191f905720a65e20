"""Stock verl on a Ray cluster of two nodes, then of one: `python recipes/verl_two_nodes`.

Both nodes are network namespaces of this machine, so it needs Linux, root and iproute2.
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[1] / "verl_agpo_cpu"))

import cluster
import results
from base_model import BaseSettings, build, paths_for
from plan import NUM_RANKS, plan_for
from rich.console import Console
from training_command import RunPlan
from two_hosts import ADDRESSES, Host, HostsError, require_hosts, two_hosts
from verl_on_cpu import launch, progress, records
from verl_on_cpu.command_line import parse_with_overrides

WATCH = Path(__file__).with_name("watch.py")


class RunError(RuntimeError):
    """verl did not end well; the message holds the lines of its log that say why."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what is not ours goes to verl as hydra overrides."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Further arguments are hydra overrides for verl.")
    parser.add_argument("--nodes", nargs="+", type=int, choices=[1, 2], default=[2, 1], help="default: 2 1, compared")
    parser.add_argument("--steps", type=int, default=10, help="training steps of each run (default: 10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/verl_two_nodes"), help="where everything is written")
    parser.add_argument("--bases", type=Path, default=Path("out/bases"), help="where base models are kept")
    parser.add_argument("--max-seconds", type=float, default=300.0, help="limit of each run (default: 300)")
    parser.add_argument("--without", nargs="+", type=int, choices=[1, 2], default=[], help="nodes without plug-ins")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run, and end")
    return parse_with_overrides(parser, arguments)


@dataclass(frozen=True)
class Session:
    """One run: its plan, and the cluster that it runs on."""

    plan: RunPlan
    nodes: list[cluster.Node]
    environment: dict[str, str]
    """Of the shell that starts the training, and of the watcher."""

    @property
    def head(self) -> Host:
        return self.nodes[0].host

    @property
    def watch_file(self) -> Path:
        return self.plan.folder / "watch.json"


def session_for(plan: RunPlan, hosts: list[Host], folder: Path, without: list[int]) -> Session:
    """Ray's share of each host; `folder` takes Ray's own files."""
    token_file = folder / "token"
    environment = cluster.environment_for(plan.added_environment(), head=hosts[0], token_file=token_file)
    nodes = [
        cluster.Node(
            host=host,
            num_ranks=NUM_RANKS // len(hosts),
            environment=cluster.without_plugins(environment) if number in without else environment,
            folder=folder / str(number),
            log_file=plan.folder / f"ray-{number}.txt",
        )
        for number, host in enumerate(hosts, start=1)
    ]
    return Session(plan, nodes, environment)


def start(session: Session) -> None:
    """Ray on every node, and the watcher, which is done when it has been on all of them."""
    cluster.write_token(Path(session.environment["RAY_AUTH_TOKEN_PATH"]))
    cluster.start(session.nodes)
    log_file = session.plan.folder / "watch.txt"
    command = (sys.executable, WATCH, str(len(session.nodes)), session.watch_file)
    watcher = session.head.start(*command, log=log_file, environment=session.environment)
    cluster.wait_for(session.watch_file.exists, watcher, log_file, "a record of every node")


def train(session: Session, display: progress.Display, max_seconds: float) -> None:
    """The training itself, started on the head: stock verl, no script of ours.

    Raises:
        RunError: It failed, or took longer than `max_seconds`.
    """
    plan = session.plan
    try:
        status = launch.run(
            session.head.command(*plan.command()),
            session.environment,
            plan.log_file,
            max_seconds=max_seconds,
            look=lambda: progress.show(display, plan),
        )
        reason = f"verl ended with status {status}" if status else ""
    except launch.RunTimeoutError as error:
        reason = str(error)
    if reason:
        log = plan.log_file.read_text(errors="replace")
        raise RunError("\n".join([reason, *records.last_errors(log), f"whole log: {plan.log_file}"]))


def execute(plan: RunPlan, num_nodes: int, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """One run from bare machines to its record; of the machines nothing is left."""
    shutil.rmtree(plan.out, ignore_errors=True)
    with _short_folder() as folder, two_hosts("gainful-verl") as hosts:
        session = session_for(plan, list(hosts[:num_nodes]), folder, options.without)
        with progress.open_display(console, f"{num_nodes} of 2 nodes, seed {plan.seed}") as display:
            start(session)
            for line in results.plugin_faults(_watched(session)):
                console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
            sent, received, begin = session.head.sent_bytes(), session.head.received_bytes(), time.monotonic()
            train(session, display, options.max_seconds)
            seconds = time.monotonic() - begin
            link_bytes = session.head.sent_bytes() - sent, session.head.received_bytes() - received
        watched = _watched(session)
    return results.record_of(plan, watched, link_bytes=link_bytes, seconds=seconds)


def _watched(session: Session) -> dict[str, Any]:
    return json.loads(session.watch_file.read_text())


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """Ray's sockets lie below it, and their whole path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix=f"v2n-{os.getpid()}-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def compare(plans: dict[int, RunPlan], found: dict[int, dict[str, Any]], console: Console) -> dict[str, Any]:
    """What differs between two nodes and one; nothing if only one of them ran."""
    if set(found) != {1, 2}:
        return {}
    differences = results.largest_differences(found[2]["steps"], found[1]["steps"])
    step = results.first_other_answers(plans[2], plans[1])
    same = "the same answers in every step" if step is None else f"other answers from step {step} on"
    lines = [f"two nodes against one: {same}; largest differences:"]
    lines += [f"  {name:<24}{value:.3g}" for name, value in differences.items()]
    console.print("\n".join(lines), markup=False, highlight=False)
    return {"first_step_with_other_answers": step, "largest_differences": differences}


def describe(plan: RunPlan, num_nodes: int, without: list[int]) -> str:
    """What a dry run prints."""
    hosts = [Host(f"node{number}", address) for number, address in enumerate(ADDRESSES[:num_nodes], start=1)]
    session = session_for(plan, hosts, Path("FOLDER"), without)
    heads = (None, cluster.address_at(session.head))
    lines = [f"{n.host.name}$ {shlex.join(n.command(head))}" for n, head in zip(session.nodes, heads, strict=False)]
    lines.append(f"{session.head.name}$ {shlex.join(plan.command())}")
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in session.environment.items())
    return "\n".join([f"with {environment}", *lines])


def make_base(plan: RunPlan) -> None:
    """Build the base model unless it is there."""
    if not plan.base.holds(BaseSettings()):
        build(BaseSettings(), plan.base, lambda *_: None)


def run(options: argparse.Namespace, console: Console) -> int:
    """Do what the options say; returns the exit status."""
    out, base = options.out.resolve(), paths_for(options.bases.resolve(), BaseSettings())
    common = {"num_steps": options.steps, "seed": options.seed, "out": out, "base": base}
    plans = {number: plan_for(number, **common, overrides=options.overrides) for number in options.nodes}
    if options.dry_run:
        for number, plan in plans.items():
            console.print(describe(plan, number, options.without), markup=False, highlight=False, soft_wrap=True)
        return 0
    require_hosts()
    found = {}
    for number, plan in plans.items():
        make_base(plan)
        found[number] = execute(plan, number, options, console)
        console.print(results.node_table(found[number]))
    console.print(results.run_table(list(found.values())))
    results.write(out / "summary.json", list(found.values()), compare(plans, found, console))
    wrong = [line for record in found.values() for line in results.faults(record, options.steps)]
    for line in wrong:
        console.print(f"fault: {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(str(out / "summary.json"), markup=False, soft_wrap=True)
    return 1 if wrong else 0


def main() -> int:
    console = Console()
    try:
        return run(parse(), console)
    except (HostsError, cluster.ClusterError, RunError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 2 if isinstance(error, HostsError) else 1
    except KeyboardInterrupt:
        console.print("stopped; both machines are gone")
        return 130


if __name__ == "__main__":
    sys.exit(main())
