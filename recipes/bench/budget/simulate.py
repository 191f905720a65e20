"""The simulation with assumed noise: run the grid, audit it, print tables, judge the bar, write the result file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bootstrap import Estimate, expected_half_width, headline
from cells import Cell
from finalizing import Repairs, repair
from grid import BUDGETS, HEADLINE, Plan, all_cells, bench_of, commit, run_grid, run_one
from methods import ABLATIONS, METHODS, VOI
from noise import swept_noise
from rich.console import Console
from rich.progress import Progress
from summary import Rows, audit_failures, figures, headlines, judge, scores
from tables import bar_text, cell_table, finalizer_table, headline_table, sweep_table

RATIO = "VOI, ratio"
EVALUATED = {"hotpotqa": 250, "2wiki": 82, "musique": 100}
"""Questions of the evaluation files."""
SWEPT_METHODS = ("one-shot RAG, k x B", "fixed-k", "spend-all", "BAVT-like", VOI)
SWEPT_BUDGETS = ("2/300", "3/500")
SWEPT_SEEDS = (0,)
_VERSIONS = ("gainful", "llama-index-core", "llama-index-retrievers-bm25", "bm25s", "numpy")


@dataclass(frozen=True)
class Choice:
    """Which part of the grid is run."""

    sets: tuple[str, ...]
    budgets: tuple[str, ...] = BUDGETS
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    ablations: bool = False
    sweep: bool = False

    @property
    def headline(self) -> tuple[str, ...]:
        """The paper's budgets among those that are run; all of them if there is none."""
        return tuple(one for one in self.budgets if one in HEADLINE) or self.budgets

    def cells(self) -> list[Cell]:
        main = all_cells(self.sets, self.budgets, self.methods, self.seeds)
        return main + (all_cells(self.sets, self.headline, ABLATIONS, self.seeds) if self.ablations else [])


def run(plan: Plan, choice: Choice, out: Path, processes: int, console: Console, bar: Progress) -> list[str]:
    """Everything that was asked for; returns what the auditor found."""
    cells = choice.cells()
    task = bar.add_task("cells", total=len(cells))
    rows = run_grid(plan, cells, out, processes, lambda: bar.advance(task))
    failures = audit_failures(rows)
    result: dict[str, Any] = {
        **_provenance(plan, choice),
        "audit_failures": len(failures),
        **_tell(rows, choice, console),
    }
    if plan.split == "tune" and VOI in choice.methods:
        result["expected_half_width"] = _tell_power(rows, choice, console)
    result["finalizer"] = _tell_finalizer(plan, rows, choice, console)
    if choice.ablations:
        result["ablations"] = _tell_ablations(rows, choice, console)
    if choice.sweep:
        result["sweep"] = _sweep(plan, choice, out, processes, console, bar)
    file = plan.folder(out) / "result.json"
    file.write_text(json.dumps(result, indent=1), encoding="utf-8")
    console.print(
        f"{len(failures)} audit failures in {sum(map(len, rows.values())):,} runs; result: {file}", highlight=False
    )
    for failure in failures[:20]:
        console.print(f"  {failure}", highlight=False)
    return failures


def check_repeats(plan: Plan, choice: Choice, out: Path) -> list[Cell]:
    """One budget and seed of each method run again, the last first: what came out differently."""
    budget = choice.headline[-1]
    cells = all_cells(choice.sets[:1], (budget,), choice.methods, choice.seeds[:1])
    return repeated(plan, cells, run_grid(plan, cells, out, 1, lambda: None))


def repeated(plan: Plan, cells: Sequence[Cell], rows: Rows) -> list[Cell]:
    """Cells that come out differently when they are run again, in the opposite order."""
    differing = []
    for cell in reversed(cells):
        again = run_one(plan, cell)
        first = [{name: value for name, value in row.items() if name != "seconds"} for row in rows[cell]]
        if json.loads(json.dumps(again)) != json.loads(json.dumps(first)):
            differing.append(cell)
    return differing


def _tell(rows: Rows, choice: Choice, console: Console) -> dict[str, Any]:
    main = {cell: of for cell, of in rows.items() if cell.method in METHODS}
    found = figures(main)
    for name in choice.sets:
        _print(console, f"{name}: means over questions and seeds", cell_table(found, name))
    result: dict[str, Any] = {"cells": {" | ".join(key): asdict(one) for key, one in found.items()}}
    if VOI not in choice.methods:
        return result
    heads = headlines(main, choice.methods, choice.headline)
    _print(console, f"mean of the sets over the budgets {', '.join(choice.headline)}", headline_table(heads))
    result["headline"] = {name: [_plain(own), _plain(gap)] for name, (own, gap) in heads.items()}
    if set(choice.methods) >= set(METHODS):
        bar = judge(main, choice.methods, choice.headline)
        _print(console, "the bar", bar_text(bar))
        behind = {name: _plain(gap) for name, gap in bar.behind.items()}
        result["bar"] = {
            "best": bar.best,
            "gain": _plain(bar.gain),
            "gain_to_best": _plain(bar.gain_to_best),
            "behind": behind,
            "met": bar.verdicts,
        }
    return result


def _tell_power(rows: Rows, choice: Choice, console: Console) -> dict[str, float]:
    """What an evaluation of the size at hand could tell apart, measured before it."""
    own, found = scores(rows, VOI, choice.headline), {}
    for method in choice.methods:
        other = scores(rows, method, choice.headline)
        found[method] = expected_half_width({name: own[name] - other[name] for name in own}, EVALUATED)
    text = ", ".join(f"{method} {width:.3f}" for method, width in found.items() if method != VOI)
    _print(console, f"expected half-width of VOI less a method on {EVALUATED}", text)
    return found


def _tell_finalizer(plan: Plan, rows: Rows, choice: Choice, console: Console) -> dict[str, Any]:
    """The second table: answers of the headline's budgets, all sets together, repaired where that is safe."""
    counts = plan.tuned.get("finalizer", {})
    found = {}
    for method in choice.methods:
        cells = [cell for cell in rows if cell.method == method and cell.budget in choice.headline]
        parts = []
        for cell in cells:
            bench = bench_of(plan, cell.set)
            parts.append(astuple(repair(rows[cell], bench.questions, bench.pool, counts)))
        found[method] = Repairs(*map(sum, zip(*parts, strict=True)))
    _print(console, f"the finalizer on for all; cases, fixed, broken when tuned: {counts}", finalizer_table(found))
    return {method: asdict(one) for method, one in found.items()}


def _tell_ablations(rows: Rows, choice: Choice, console: Console) -> dict[str, Any]:
    """What VOI gains by the idea that is left out."""
    heads = headlines(rows, [VOI, RATIO, *ABLATIONS], choice.headline)
    _print(console, "ablations: VOI with one idea taken out", headline_table(heads))
    return {name: [_plain(own), _plain(gap)] for name, (own, gap) in heads.items()}


def _sweep(
    plan: Plan, choice: Choice, out: Path, processes: int, console: Console, bar: Progress
) -> Mapping[str, dict[str, float]]:
    """Means of a few methods under other assumptions, with constants and knobs as they are."""
    table: dict[str, dict[str, float]] = {}
    cells = all_cells(choice.sets, SWEPT_BUDGETS, SWEPT_METHODS, SWEPT_SEEDS)
    kinds = [("default", plan.noise), *swept_noise()]
    task = bar.add_task("sweep", total=len(cells) * len(kinds))
    for name, noise in kinds:
        other = replace(plan, noise=noise)
        rows = run_grid(other, cells, out, processes, lambda: bar.advance(task))
        table[name] = {one: headline(scores(rows, one, SWEPT_BUDGETS)) for one in SWEPT_METHODS}
    _print(console, f"other assumptions, budgets {', '.join(SWEPT_BUDGETS)}, one seed", sweep_table(table))
    return table


def _provenance(plan: Plan, choice: Choice) -> dict[str, Any]:
    return {
        "what": "simulation with assumed noise; F1-equivalent accuracy, not the accuracy of a model",
        "hash": plan.hash,
        "config_hash": plan.config.config_hash,
        "noise": plan.noise.model_dump(mode="json"),
        "commit": commit(),
        "versions": {name: version(name) for name in _VERSIONS},
        "split": plan.split,
        **({"one_pool": True} if plan.one_pool else {}),
        "questions": {name: len(bench_of(plan, name).questions) for name in choice.sets},
        "choice": asdict(choice),
    }


def _print(console: Console, title: str, text: str) -> None:
    console.print(f"\n{title}\n", highlight=False)
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _plain(one: Estimate) -> dict[str, float]:
    return {name: round(value, 5) for name, value in asdict(one).items()}
