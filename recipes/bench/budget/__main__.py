"""What a budget buys in multi-hop search, without any real language model.

python recipes/bench/budget headroom      what there is to gain by searching well: recall alone, no model
python recipes/bench/budget tune          fit constants and knobs on the tuning files, write tuned.json
python recipes/bench/budget simulate      all methods under the same hard budgets, with a simulated model
python recipes/bench/budget simulate --quick      small, on the tuning files: audit and determinism only
python recipes/bench/budget abstentions   from what simulate kept: was silence right?
python recipes/bench/budget cost --prices 0.15 0.6 1      what a right answer costs, from a result file
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

from data import SETS, TUNED_ON, DataError, load_set, merged, overlap
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gainful.errors import GainfulError, UnknownNameError, did_you_mean

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "multihop"
OUT = Path("out/bench/budget")
RESULT = Path(__file__).with_name("evaluation.json")
"""The result that is published."""
QUICK_QUESTIONS, QUICK_SEEDS, QUICK_BUDGETS = 20, (0, 1), ("1/100", "2/300", "5/1000")
SEEDS = (0, 1, 2, 3, 4)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, default=DATA, help="folder of the questions (default: ../shared/data/multihop)"
    )
    shared.add_argument("--out", type=Path, default=OUT, help=f"where everything is written (default: {OUT})")
    shared.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: all")
    shared.add_argument(
        "--quick", action="store_true", help=f"{QUICK_QUESTIONS} questions a set, tuning files, 2 seeds"
    )
    shared.add_argument("--dry-run", action="store_true", help="say what would be done, and end")
    parser = argparse.ArgumentParser(
        prog="python recipes/bench/budget", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("headroom", parents=[shared], help="all-gold recall without a model")
    two = commands.add_parser("tune", parents=[shared], help="fit constants and knobs on the tuning files")
    two.add_argument("--only", nargs="+", help="controller, finalizer or baselines; the rest of tuned.json stays")
    three = commands.add_parser("simulate", parents=[shared], help="all methods with a simulated model")
    one.add_argument("--split", choices=("tune", "eval"), default="eval", help="default: eval")
    three.add_argument(
        "--split", choices=("tune", "eval"), default="tune", help="default: tune; eval only once for each frozen hash"
    )
    three.add_argument("--budgets", nargs="+", help="such as 2/300; default: the paper's four and two slack ones")
    three.add_argument("--methods", nargs="+", help="default: all")
    three.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="default: 0 1 2 3 4")
    three.add_argument("--questions", type=int, help="per set, from the first; default: all")
    three.add_argument("--processes", type=int, default=2, help="default: 2")
    three.add_argument("--ablations", action="store_true", help="also VOI with one idea taken out")
    three.add_argument("--sweep", action="store_true", help="also other assumptions about the model")
    five = commands.add_parser("abstentions", parents=[shared], help="was silence right? from kept cells")
    for command in (three, five):
        command.add_argument("--one-pool", action="store_true", help="search the passages of all sets at once: harder")
    five.add_argument("--split", choices=("tune", "eval"), default="tune", help="default: tune")
    five.add_argument("--questions", type=int, help="per set, as they were run")
    four = commands.add_parser("page", help="draw a result file")
    six = commands.add_parser("cost", help="what a right answer costs, from a result file")
    for command in (four, six):
        command.add_argument(
            "result", type=Path, nargs="?", default=RESULT, help=f"default: {RESULT.name} beside the code"
        )
    six.add_argument(
        "--prices",
        type=float,
        nargs=3,
        required=True,
        metavar=("INPUT", "OUTPUT", "SEARCH"),
        help="per million input tokens, per million output tokens, per thousand searches",
    )
    four.add_argument("--out", type=Path, default=OUT, help=f"folder of the page (default: {OUT})")
    return parser.parse_args(arguments)


def run_headroom(options: argparse.Namespace, console: Console) -> int:
    from headroom import DEPTHS, METHODS, headroom
    from pool import Pool
    from tables import headroom_table

    names = _sets(options)
    console.print(f"all-gold recall, {options.split} files of {', '.join(names)}, and all of them as one pool")
    if options.dry_run:
        return 0
    sets = [load_set(options.data, name, options.split) for name in names]
    number = QUICK_QUESTIONS if options.quick else None
    everything = Pool(merged(sets))
    rows = {}
    with progress(console) as bar:
        task = bar.add_task("headroom", total=2 * len(sets) * len(METHODS) * len(DEPTHS))
        for one in sets:
            questions = one.questions[:number]
            rows[one.name] = headroom(questions, Pool(one.passages), lambda: bar.advance(task))
            rows[f"{one.name}, one pool"] = headroom(questions, everything, lambda: bar.advance(task))
            console.print(f"{one.name}: {len(questions)} questions, {len(one.passages)} passages")
    paragraphs, titles = overlap(options.data)
    console.print(f"one pool: {len(everything.by_id)} passages")
    console.print(f"2wiki: tuning and evaluation files share {paragraphs} paragraphs and {titles} gold titles")
    console.print(headroom_table(rows), highlight=False, soft_wrap=True)
    options.out.mkdir(parents=True, exist_ok=True)
    plain = {name: {row.name: row.recall for row in of} for name, of in rows.items()}
    (options.out / f"headroom_{options.split}.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")
    return 0


def run_tune(options: argparse.Namespace, console: Console) -> int:
    from grid import TUNED
    from tune import KNOBS, PARTS, tune_all

    everything = ("controller", "finalizer", *KNOBS)
    names = tuple(options.only or everything)
    _check(names, everything)
    console.print(f"tuning {', '.join(names)} on {', '.join(TUNED_ON)}; writes {TUNED.name}", highlight=False)
    if options.dry_run:
        return 0
    tuned = json.loads(TUNED.read_text(encoding="utf-8")) if TUNED.is_file() else {}
    file = options.out / "quick_tuned.json" if options.quick else TUNED
    for part in tune_all(options.data, names, QUICK_QUESTIONS if options.quick else None, _log(console)):
        tuned = {name: {**tuned.get(name, {}), **part.get(name, {})} for name in PARTS}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(tuned, indent=1) + "\n", encoding="utf-8")
    return 0


def run_simulate(options: argparse.Namespace, console: Console) -> int:
    import simulate
    from grid import BUDGETS
    from methods import METHODS

    options.split = "tune" if options.quick else options.split
    plan = _plan(options)
    choice = simulate.Choice(
        sets=tuple(_sets(options)),
        budgets=tuple(options.budgets or (QUICK_BUDGETS if options.quick else BUDGETS)),
        methods=tuple(options.methods or METHODS),
        seeds=QUICK_SEEDS if options.quick else tuple(options.seeds),
        ablations=options.ablations,
        sweep=options.sweep,
    )
    _check(choice.methods, METHODS)
    cells = choice.cells()
    done = sum(cell.file(plan.folder(options.out)).is_file() for cell in cells)
    console.print(
        f"simulation with assumed noise, {plan.split} files, {len(cells)} cells, {done} of them done; "
        f"{'one pool of all sets, ' * plan.one_pool}hash {plan.hash}, config {plan.config.config_hash}",
        highlight=False,
    )
    if options.dry_run:
        return 0
    with progress(console) as bar:
        failures = simulate.run(plan, choice, options.out, options.processes, console, bar)
        differing = simulate.check_repeats(plan, choice, options.out) if options.quick else []
    if options.quick:
        console.print(f"{len(differing)} cells came out differently when run again in another order")
    return 1 if failures or differing else 0


def run_abstentions(options: argparse.Namespace, console: Console) -> int:
    from abstentions import abstention_table, silences
    from grid import kept_cells

    options.split = "tune" if options.quick else options.split
    folder = _plan(options).folder(options.out)
    found = silences(kept_cells(folder, _sets(options)))
    if not found:
        raise DataError(f"expected finished cells under {folder}, found none; run simulate with the same options first")
    for name in _sets(options):
        console.print(f"\n{name}: abstentions over questions and seeds\n", highlight=False)
        console.print(abstention_table(found, name), highlight=False, soft_wrap=True)
    return 0


def run_page(options: argparse.Namespace, console: Console) -> int:
    from page import write

    file = options.out / "budget.html"
    write(_result(options.result), file)
    console.print(f"wrote {file}")
    return 0


def run_cost(options: argparse.Namespace, console: Console) -> int:
    from cost import Prices, cost_table

    table = cost_table(_result(options.result), Prices(*options.prices))
    console.print(table, highlight=False, soft_wrap=True)
    return 0


def _result(file: Path) -> Any:
    """What `simulate` wrote."""
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: expected a result.json of simulate, found: {error}") from error
    if not isinstance(result, dict) or "cells" not in result:
        raise DataError(
            f"{file}: expected a result.json of simulate, found JSON without cells; simulate says where it is"
        )
    return result


def _plan(options: argparse.Namespace) -> Any:
    from grid import Plan, read_tuned

    number = QUICK_QUESTIONS if options.quick else options.questions
    return Plan(options.data, options.split, number, read_tuned(), one_pool=options.one_pool)


def progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _check(names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(f"unknown name {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")


def _sets(options: argparse.Namespace) -> list[str]:
    """MuSiQue has no tuning file."""
    return [name for name in options.sets if options.split == "eval" or name in TUNED_ON]


def _log(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(f"{time.strftime('%X')} {line}", highlight=False)


def main() -> int:
    options, console = parse(), Console(width=140)
    start = time.perf_counter()
    commands = {
        "headroom": run_headroom,
        "tune": run_tune,
        "simulate": run_simulate,
        "abstentions": run_abstentions,
        "page": run_page,
        "cost": run_cost,
    }
    try:
        code = commands[options.command](options, console)
    except (GainfulError, DataError) as error:
        console.print(f"[red]{error}[/red]")
        return 2
    console.print(f"{time.perf_counter() - start:.0f} s", highlight=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
