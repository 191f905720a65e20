"""What a budget buys in multi-hop search, without any real language model.

python recipes/bench/budget headroom      what there is to gain by searching well: recall alone, no model
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from data import SETS, TUNED_ON, DataError, load_set, merged, overlap
from headroom import DEPTHS, METHODS, headroom
from pool import Pool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tables import headroom_table

from gainful.errors import GainfulError

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "multihop"
OUT = Path("out/bench/budget")
QUICK_QUESTIONS = 40


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, default=DATA, help="folder of the questions (default: ../shared/data/multihop)"
    )
    shared.add_argument("--out", type=Path, default=OUT, help=f"where everything is written (default: {OUT})")
    shared.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: all")
    shared.add_argument("--quick", action="store_true", help=f"{QUICK_QUESTIONS} questions a set, 2 seeds")
    shared.add_argument("--dry-run", action="store_true", help="say what would be done, and end")
    parser = argparse.ArgumentParser(
        prog="python recipes/bench/budget", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("headroom", parents=[shared], help="all-gold recall without a model")
    one.add_argument("--split", choices=("tune", "eval"), default="eval", help="default: eval")
    return parser.parse_args(arguments)


def run_headroom(options: argparse.Namespace, console: Console) -> None:
    names = [name for name in options.sets if options.split == "eval" or name in TUNED_ON]
    console.print(f"all-gold recall, {options.split} files of {', '.join(names)}, and all of them as one pool")
    if options.dry_run:
        return
    sets = [load_set(options.data, name, options.split) for name in names]
    number = QUICK_QUESTIONS if options.quick else None
    pools = {one.name: Pool(one.passages) for one in sets}
    everything = Pool(merged(sets))
    rows = {}
    with progress(console) as bar:
        task = bar.add_task("headroom", total=2 * len(sets) * len(METHODS) * len(DEPTHS))
        for one in sets:
            questions = one.questions[:number]
            rows[one.name] = headroom(questions, pools[one.name], lambda: bar.advance(task))
            rows[f"{one.name}, one pool"] = headroom(questions, everything, lambda: bar.advance(task))
    table = headroom_table(rows)
    sizes = ", ".join(
        f"{one.name} {len(one.questions[:number])} questions, {len(one.passages)} passages" for one in sets
    )
    console.print(f"{sizes}; one pool {len(everything.by_id)} passages", highlight=False)
    console.print(
        "2wiki: tuning and evaluation files share {} paragraphs and {} gold titles".format(*overlap(options.data))
    )
    console.print(table, highlight=False, soft_wrap=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"headroom_{options.split}.md").write_text(f"{table}\n", encoding="utf-8")
    plain = {name: {row.name: row.recall for row in of} for name, of in rows.items()}
    (options.out / f"headroom_{options.split}.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def main() -> int:
    options, console = parse(), Console(width=140)
    start = time.perf_counter()
    try:
        {"headroom": run_headroom}[options.command](options, console)
    except (GainfulError, DataError) as error:
        console.print(f"[red]{error}[/red]")
        return 2
    console.print(f"{time.perf_counter() - start:.0f} s", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
