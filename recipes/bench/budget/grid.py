"""The grid of cells: which there are, what they are run with, and how they are run on one or two processes."""

import itertools
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cells import Bench, Cell, kept, run_cell
from data import SETS, TUNED_ON, Set, load_set, merged
from methods import ABLATIONS, METHODS
from noise import Noise, default_noise
from pool import Pool

from gainful.budget import ControllerConfig
from gainful.budget.hashing import short_hash

HERE = Path(__file__).parent
TUNED = HERE / "tuned.json"
BUDGETS = ("1/100", "2/200", "2/300", "3/500", "5/1000", "10/2000")
HEADLINE = BUDGETS[:4]
"""The paper's."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a cell holds."""

    data: Path
    split: str
    number: int | None
    """Questions per set, from the first; None takes all."""
    tuned: Mapping[str, Any]
    noise: Noise = field(default_factory=default_noise)
    one_pool: bool = False
    """Search the passages of all sets of the split at once: the harder variant."""

    @property
    def config(self) -> ControllerConfig:
        return ControllerConfig(**self.tuned["controller"])

    def knobs(self, method: str, budget: str) -> dict[str, Any]:
        """Those of the largest tuned budget for a budget beyond the tuned ones."""
        by_budget = self.tuned["knobs"].get(method, {})
        return dict(by_budget.get(budget) or by_budget.get(HEADLINE[-1]) or {})

    @property
    def hash(self) -> str:
        """Names constants, knobs, noise and the code of the simulation."""
        code = [file.read_text(encoding="utf-8") for file in sorted(HERE.glob("*.py")) if file.stem in _DECIDES]
        settings = {"controller": self.config.config_hash, "knobs": self.tuned["knobs"], "noise": self.noise.hash}
        return short_hash(json.dumps([settings, code], sort_keys=True))

    def folder(self, out: Path) -> Path:
        size = "all" if self.number is None else str(self.number)
        return out / "cells" / self.hash / f"{self.split}_{size}{'_one_pool' if self.one_pool else ''}"


_DECIDES = ("ablations", "brain", "cells", "data", "hops", "loops", "methods", "model", "pool", "scoring")


def read_tuned() -> dict[str, Any]:
    """The committed result of `tune`; the controller's own defaults and the first knobs where there is none yet."""
    if TUNED.is_file():
        return json.loads(TUNED.read_text(encoding="utf-8"))
    from tune import first_knobs

    return {"controller": {}, "knobs": first_knobs(HEADLINE)}


def all_cells(sets: Sequence[str], budgets: Sequence[str], methods: Iterable[str], seeds: Sequence[int]) -> list[Cell]:
    """Set by set, so that an index is built once; the slow methods are spread over the list."""
    return [
        Cell(name, budget, method, seed) for name in sets for seed in seeds for budget in budgets for method in methods
    ]


def run_grid(
    plan: Plan, cells: Sequence[Cell], out: Path, processes: int, on_cell: Callable[[], None]
) -> dict[Cell, list[Row]]:
    """Rows per cell; finished cells are read, not run."""
    folder = plan.folder(out)
    groups = [(plan, name, part, folder) for name, part in _parts(cells)]
    results: dict[Cell, list[Row]] = {}
    if processes == 1:
        for group in groups:
            results |= _run_group(*group, on_cell)
        return results
    with get_context("spawn").Pool(processes) as workers:
        for part in workers.imap_unordered(_run_in_worker, groups):
            results |= part
            for _ in part:
                on_cell()
    return results


def kept_cells(folder: Path, sets: Sequence[str]) -> dict[Cell, list[Row]]:
    """Finished cells under a plan's folder, without those of ablations."""
    found = {}
    for name, budget, method in itertools.product(sets, BUDGETS, METHODS):
        for file in sorted(Cell(name, budget, method, 0).file(folder).parent.glob("*.jsonl")):
            cell = Cell(name, budget, method, int(file.stem))
            found[cell] = kept(cell, folder, list)
    return found


def commit() -> str:
    """Of the checkout, with a mark if tracked files were changed."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _parts(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Cells of one set and budget: small enough to share work evenly, large enough to pay for an index."""
    parts: dict[tuple[str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: int(cell.budget.split("/")[1])):  # a stopped run has the headline first
        parts.setdefault((cell.budget, cell.set), []).append(cell)
    return [(name, part) for (_, name), part in parts.items()]


def _run_in_worker(group: tuple[Plan, str, list[Cell], Path]) -> dict[Cell, list[Row]]:
    return _run_group(*group, lambda: None)


_BENCHES: dict[tuple[str, str, int | None, bool], Bench] = {}
"""Of this process: an index is built once."""


def bench_of(plan: Plan, name: str) -> Bench:
    key = (name, plan.split, plan.number, plan.one_pool)
    if key not in _BENCHES:
        loaded = load_set(plan.data, name, plan.split)
        _BENCHES[key] = Bench.of(name, loaded.questions[: plan.number], _pool_of(plan, loaded))
    return _BENCHES[key]


def _pool_of(plan: Plan, loaded: Set) -> Pool:
    if not plan.one_pool:
        return Pool(loaded.passages)
    others = [other.pool for (_, split, _, one), other in _BENCHES.items() if one and split == plan.split]
    if others:
        return others[0]
    names = SETS if plan.split == "eval" else TUNED_ON
    return Pool(merged([load_set(plan.data, name, plan.split) for name in names]))


def _run_group(
    plan: Plan, name: str, cells: Sequence[Cell], folder: Path, on_cell: Callable[[], None]
) -> dict[Cell, list[Row]]:
    results = {}
    for cell in cells:
        results[cell] = kept(cell, folder, lambda cell=cell: run_one(plan, cell))
        on_cell()
    return results


def run_one(plan: Plan, cell: Cell) -> list[Row]:
    """One cell, kept nowhere."""
    method = {**METHODS, **ABLATIONS}[cell.method]
    knobs = plan.knobs(cell.method, cell.budget)
    return run_cell(bench_of(plan, cell.set), cell, method, plan.noise, plan.config, knobs)
