"""From rows to figures: means per cell, the headline, the bar."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from auditor import audit
from bootstrap import Estimate, Scores, difference, difference_to_best, estimate, headline
from cells import Cell
from methods import AGENTS, ORACLE, VOI

Rows = Mapping[Cell, Sequence[Mapping[str, Any]]]

LEAST_GAIN = 0.03
"""The bar's."""


@dataclass(frozen=True)
class Figures:
    """Means over the questions and seeds of a set, a budget and a method."""

    f1: float
    em: float
    all_gold: float
    calls: float
    output_tokens: float
    input_tokens: float
    coverage: float
    """Share of questions with a committed answer."""
    f1_answered: float
    milliseconds: float
    """Of the harness: the model is simulated and takes no time."""


@dataclass(frozen=True)
class Bar:
    """The three conditions, each with what was found."""

    best: str
    gain: Estimate
    gain_to_best: Estimate
    """The best chosen again in each resample."""
    behind: dict[str, Estimate]
    """By set and agent: VOI less the agent."""
    audit_failures: int

    @property
    def verdicts(self) -> tuple[bool, bool, bool]:
        held = all(gap.mean >= -gap.half_width for gap in self.behind.values())
        return self.gain.mean >= LEAST_GAIN and self.gain.low > 0, held, self.audit_failures == 0


def figures(rows: Rows) -> dict[tuple[str, str, str], Figures]:
    """By set, budget, method."""
    joined: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell, of in rows.items():
        joined.setdefault((cell.set, cell.budget, cell.method), []).extend(of)
    return {key: _figures(of) for key, of in joined.items()}


def scores(rows: Rows, method: str, budgets: Iterable[str]) -> Scores:
    """Per set, the F1 of each question averaged over budgets and seeds."""
    wanted = set(budgets)
    by_set: dict[str, list[list[float]]] = {}
    for cell, of in rows.items():
        if cell.method == method and cell.budget in wanted:
            by_set.setdefault(cell.set, []).append([row["f1"] for row in of])
    return {name: np.mean(values, axis=0) for name, values in sorted(by_set.items())}


def headlines(rows: Rows, methods: Sequence[str], budgets: Sequence[str]) -> dict[str, tuple[Estimate, Estimate]]:
    """Each method's mean, and VOI less the method."""
    own = scores(rows, VOI, budgets)
    found = {method: scores(rows, method, budgets) for method in methods}
    return {method: (estimate(of), difference(own, of)) for method, of in found.items()}


def judge(rows: Rows, methods: Sequence[str], budgets: Sequence[str]) -> Bar:
    """Against all methods that are neither VOI's own nor the oracle."""
    own = scores(rows, VOI, budgets)
    rivals = {one: scores(rows, one, budgets) for one in methods if one != ORACLE and not one.startswith(VOI)}
    best = max(rivals, key=lambda one: headline(rivals[one]))
    behind = {
        f"{name}, {agent}": difference({name: own[name]}, {name: rivals[agent][name]})
        for agent in AGENTS
        for name in own
    }
    gain = difference(own, rivals[best])
    return Bar(best, gain, difference_to_best(own, rivals), behind, len(audit_failures(rows)))


def audit_failures(rows: Rows) -> list[str]:
    """What the auditor says, by cell and question."""
    failures = []
    for cell, of in rows.items():
        calls, tokens = map(int, cell.budget.split("/"))
        failures += [f"{cell} {row['id']}: {what}" for row in of for what in audit(row, calls, tokens)]
    return failures


def _figures(rows: Sequence[Mapping[str, Any]]) -> Figures:
    answered = [row["f1"] for row in rows if not row["abstained"]]
    return Figures(
        f1=_mean(row["f1"] for row in rows),
        em=_mean(row["em"] for row in rows),
        all_gold=_mean(row["all_gold"] for row in rows),
        calls=_mean(len(row["searches"]) for row in rows),
        output_tokens=_mean(sum(call[2] for call in row["llm"]) for row in rows),
        input_tokens=_mean(sum(call[3] for call in row["llm"]) for row in rows),
        coverage=len(answered) / len(rows),
        f1_answered=_mean(answered) if answered else 0.0,
        milliseconds=1000 * _mean(row["seconds"] for row in rows),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
