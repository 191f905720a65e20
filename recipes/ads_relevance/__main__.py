"""Search-ads relevance: trains graders of query-ad pairs with GRPO and AGPO and distils them into students.

The data are synthetic, or your own: `--data pairs.parquet`.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

import data
import pandas as pd
import tables
import torch
from export import write_verl
from pipeline import SeedRun, Setting
from plan import CONFIG, QUICK, Plan, read_plan
from report.page import write_page
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sections import sections
from stages import StageError, Stages
from student import LessonError
from summary import describe, summarise
from train import Tick

from gainful.errors import GainfulError


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python recipes/ads_relevance", description=__doc__)
    parser.add_argument("--data", type=Path, help="your labelled pairs, a parquet file (default: synthetic pairs)")
    parser.add_argument("--unlabelled", type=Path, help="your pairs to distil with (default: the training pairs)")
    for name in ("query", "ad", "label"):
        parser.add_argument(f"--{name}-column", default=name, metavar="NAME", help=f"default: {name}")
    parser.add_argument("--max-grade", type=int, help="labels go from 0 to this (default: 3)")
    parser.add_argument("--positive-from", type=int, help="least label of a relevant pair (default: 2)")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--target-recall", type=float, help="operating point: reach this recall (default: 0.8)")
    target.add_argument("--target-precision", type=float, help="operating point: reach this precision")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 1 2 3, with --quick 1")
    parser.add_argument("--config", type=Path, default=CONFIG, help="all settings (default: config.toml of the recipe)")
    parser.add_argument("--quick", action="store_true", help="short: shows that it works, not what it can do")
    parser.add_argument("--out", type=Path, default=Path("out/ads_relevance"), help="where everything is written")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing, and end")
    parser.add_argument("--export-verl", type=Path, metavar="FOLDER", help="write data and reward for verl, and end")
    parser.add_argument("--write-readme", action="store_true", help="put the tables of this run into README.md")
    options = parser.parse_args()
    if options.write_readme and (options.quick or options.data):
        parser.error("--write-readme takes a full run on the synthetic data; leave out --quick and --data")
    if options.unlabelled and not options.data:
        parser.error("--unlabelled needs --data")
    return options


def plan_for(options: argparse.Namespace) -> Plan:
    """The config file with the changes of the command line."""
    given = {"max_grade": options.max_grade, "positive_from": options.positive_from}
    changes = {"data": {key: value for key, value in given.items() if value is not None}}
    for target in ("recall", "precision"):
        level = getattr(options, f"target_{target}")
        if level is not None:
            changes["measure"] = {"target": target, "level": level}
    return read_plan(options.config, QUICK if options.quick else {}, changes)


def load(options: argparse.Namespace, plan: Plan) -> tuple[data.Parts, str]:
    """The checked and split data, and a digest of it; synthetic data are written first."""
    columns, labelled, unlabelled = data.Columns(), options.data, options.unlabelled
    if labelled is None:
        labelled, unlabelled = data.write_world(options.out / "data", plan.world)
    else:
        columns = data.Columns(options.query_column, options.ad_column, options.label_column)
    frames = [data.read_labelled(labelled, columns, plan.data)]
    if unlabelled is not None:
        frames.append(data.read_unlabelled(unlabelled, columns, plan.data))
    rows = b"".join(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes() for frame in frames)
    return data.split(frames[0], frames[1] if frames[1:] else None, plan.data), hashlib.sha256(rows).hexdigest()


@contextmanager
def progress_bar(console: Console, text: str, total: int) -> Iterator[Tick]:
    """One line for one stage."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(text, total=total)
        yield lambda: progress.advance(task)


def run(options: argparse.Namespace, plan: Plan, console: Console) -> None:
    start = time.monotonic()
    parts, digest = load(options, plan)
    setting, folder = Setting.build(plan, parts), options.out / "runs" / plan.digest(digest)
    runs = [
        SeedRun(setting, seed, Stages(folder / f"seed-{seed}"), lambda text, total: progress_bar(console, text, total))
        for seed in options.seeds
    ]
    summary = summarise(plan, parts, runs)
    write(options.out, summary)
    write_page(options.out / "index.html", "gainful: search-ads relevance", sections(summary, parts, runs[0]))
    for table in tables.terminal(summary):
        console.print(table)
    console.print(f"{tables.headline(summary)}\n{tables.cost(summary)}", highlight=False)
    console.print(f"stages in {folder}", highlight=False, soft_wrap=True)
    console.print(
        f"{time.monotonic() - start:.0f} s in all; open {options.out / 'index.html'}", highlight=False, soft_wrap=True
    )
    if options.write_readme:
        tables.write_readme(summary)


def write(out: Path, summary: dict) -> None:
    (out / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    (out / "table.md").write_text(tables.markdown(summary))


def dry_run(options: argparse.Namespace, plan: Plan, console: Console) -> None:
    """What a run would do."""
    source = f"read {options.data}" if options.data else f"write synthetic pairs to {options.out / 'data'}"
    console.print(source, markup=False, soft_wrap=True)
    console.print_json(json.dumps({"seeds": options.seeds, "settings": plan.model_dump()}))
    for name in ("summary.json", "table.md", "index.html", "runs/"):
        console.print(f"would write {options.out / name}", markup=False, highlight=False, soft_wrap=True)


def export(options: argparse.Namespace, plan: Plan, console: Console) -> None:
    parts, _ = load(options, plan)
    for file in write_verl(options.export_verl, parts, plan.data.max_grade):
        console.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    console.print_json(json.dumps(describe(parts, plan)))


def main() -> int:
    options, console = parse(), Console()
    options.seeds = options.seeds or ([1] if options.quick else [1, 2, 3])
    torch.set_num_threads(1)  # two threads gain little on idle cores and lose much on busy ones
    try:
        plan = plan_for(options)
        if options.dry_run:
            dry_run(options, plan, console)
        elif options.export_verl:
            export(options, plan, console)
        else:
            run(options, plan, console)
    except (data.DataError, LessonError, StageError, GainfulError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
