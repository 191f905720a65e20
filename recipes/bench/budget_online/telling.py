"""The tables of the simulation, from real runs; live or from a store, they are the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cells import Cell
from exchange import Exchange
from finalizing import Repairs, repair
from grid import HEADLINE, Plan, bench_of, commit
from methods import VOI
from records import Choice
from rich.console import Console
from running import Done, Row, cells_of
from summary import audit_failures, figures, headlines
from tables import cell_table, finalizer_table, headline_table

from gainful.budget.axes import MICRO

_VERSIONS = ("gainful", "llama-index-core", "llama-index-llms-openai-like", "openai", "bm25s")


def tell(
    plan: Plan, choice: Choice, found: Mapping[Cell, list[Done]], exchange: Exchange, out: Path, console: Console
) -> list[str]:
    """Print the tables and write the result file; returns what the auditor found."""
    rows = {cell: [one.row for one in done] for cell, done in found.items()}
    failures = audit_failures(rows)
    result = {
        **_provenance(plan, choice, exchange),
        "audit_failures": len(failures),
        **_tables(plan, choice, rows, console, caption(exchange)),
    }
    missing = len(cells_of(choice)) - len(rows)
    if missing:
        console.print(f"\n{missing} of {missing + len(rows)} cells are not complete and in no table", highlight=False)
    spent = exchange.store.spent_micros / MICRO
    cost = f", cost {spent:.4f} so far" if exchange.till.prices or spent else ""
    console.print(
        f"\n{len(failures)} audit failures in {sum(map(len, rows.values())):,} runs; "
        f"{exchange.store.num_answers:,} requests answered{cost}, {exchange.num_sent:,} sent now",
        highlight=False,
    )
    for failure in failures[:20]:
        console.print(f"  {failure}", highlight=False, markup=False)
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return failures


def caption(exchange: Exchange) -> str:
    """Stands over every table."""
    return f"{exchange.store.head.model}, {exchange.store.dates}, temperature 0"


def _tables(plan: Plan, choice: Choice, rows: Mapping[Cell, list[Row]], console: Console, title: str) -> dict[str, Any]:
    found = figures(rows)
    for name in choice.sets:
        if any(cell.set == name for cell in rows):
            _print(console, f"{name}: means over questions; {title}", cell_table(found, name))
    result: dict[str, Any] = {"cells": {" | ".join(key): asdict(one) for key, one in found.items()}}
    if len(rows) < len(cells_of(choice)):
        return result
    budgets = tuple(one for one in choice.budgets if one in HEADLINE) or choice.budgets
    if VOI in choice.methods:
        heads = headlines(rows, choice.methods, budgets)
        _print(console, f"mean of the sets over the budgets {', '.join(budgets)}; {title}", headline_table(heads))
        result["headline"] = {name: [asdict(own), asdict(gap)] for name, (own, gap) in heads.items()}
    repaired = _repaired(plan, choice, rows)
    _print(console, f"the finalizer on for all; {title}", finalizer_table(repaired))
    return {**result, "finalizer": {name: asdict(one) for name, one in repaired.items()}}


def _repaired(plan: Plan, choice: Choice, rows: Mapping[Cell, list[Row]]) -> dict[str, Repairs]:
    counts, found = plan.tuned.get("finalizer", {}), {name: Repairs() for name in choice.methods}
    for cell, of in rows.items():
        bench = bench_of(plan, cell.set)
        done = repair(of, bench.questions, bench.pool, counts)
        total = found[cell.method]
        for name, value in asdict(done).items():
            setattr(total, name, getattr(total, name) + value)
    return found


def _provenance(plan: Plan, choice: Choice, exchange: Exchange) -> dict[str, Any]:
    store = exchange.store
    return {
        "what": f"F1 with {caption(exchange)}",
        "model": store.head.model,
        "dates": store.dates,
        "hash": plan.hash,
        "config_hash": plan.config.config_hash,
        "commit": commit(),
        "versions": {name: version(name) for name in _VERSIONS},
        "split": choice.split,
        "questions": {name: len(bench_of(plan, name).questions) for name in choice.sets},
        "choice": {**choice.model_dump(mode="json"), "seeds": [0]},
        "cost": store.spent_micros / MICRO,
    }


def _print(console: Console, title: str, text: str) -> None:
    console.print(f"\n{title}\n", highlight=False, markup=False)
    console.print(text, highlight=False, soft_wrap=True, markup=False)
