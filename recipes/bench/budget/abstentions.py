"""When a method kept silent, was it right to? A view of kept rows: nothing is run.

Silence is right where the run did not find all gold passages. Precision is the share of such runs among the silent
ones, recall the share of silent ones among such runs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cells import Cell
from tables import markdown

Rows = Mapping[Cell, Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Silence:
    """Counts over runs."""

    runs: int
    abstained: int
    rightly: int
    """Abstained without all gold passages."""
    lacking: int
    """Did not find all gold passages."""
    right: float
    """F1 of the answers, summed."""

    @property
    def coverage(self) -> float:
        return 1 - self.abstained / self.runs

    @property
    def answer_precision(self) -> float | None:
        return self.right / (self.runs - self.abstained) if self.runs > self.abstained else None

    @property
    def precision(self) -> float | None:
        """Of the abstentions, those without the evidence for an answer."""
        return self.rightly / self.abstained if self.abstained else None

    @property
    def recall(self) -> float | None:
        """Of the runs without the evidence, those that abstained."""
        return self.rightly / self.lacking if self.lacking else None


def silences(rows: Rows) -> dict[tuple[str, str, str], Silence]:
    """By set, budget and method, over questions and seeds."""
    joined: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell, of in rows.items():
        joined.setdefault((cell.set, cell.budget, cell.method), []).extend(of)
    return {key: _silence(of) for key, of in joined.items()}


def abstention_table(found: Mapping[tuple[str, str, str], Silence], name: str) -> str:
    """One set."""
    headers = [
        "budget",
        "method",
        "answered",
        "F1 if so",
        "abstained",
        "of these without all gold",
        "of all without it",
    ]
    rows = [
        [
            budget,
            method,
            f"{one.coverage:.2f}",
            _share(one.answer_precision),
            str(one.abstained),
            _share(one.precision),
            _share(one.recall),
        ]
        for (of, budget, method), one in found.items()
        if of == name
    ]
    return markdown(headers, rows)


def _silence(rows: list[Mapping[str, Any]]) -> Silence:
    silent = [row for row in rows if row["abstained"]]
    return Silence(
        runs=len(rows),
        abstained=len(silent),
        rightly=sum(not row["all_gold"] for row in silent),
        lacking=sum(not row["all_gold"] for row in rows),
        right=sum(row["f1"] for row in rows if not row["abstained"]),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
