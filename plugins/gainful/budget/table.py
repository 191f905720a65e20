"""A run as text: one line per step, then the accounts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gainful.budget.actions import Decision, GuardNote, Option
from gainful.budget.axes import OUTPUT_TOKENS, TOOL_CALLS
from gainful.budget.trace import StepRecord
from gainful.budget.types import AxisUse

if TYPE_CHECKING:
    from gainful.budget.report import BudgetReport

__all__ = ["decision_line", "report_line", "report_table", "step_line"]

_WIDTH = 140
_ROOM_FOR_GUARDS = 36
_LEAST_QUERY = 8
_AXES_SHOWN = 2
_SHORT = {TOOL_CALLS: "calls", OUTPUT_TOKENS: "tok", "llm_calls": "llm", "seconds": "s", "input_tokens": "in"}


def step_line(step: StepRecord) -> str:
    """One finished step in at most 140 characters, the query shortened first, then the guards.

    `[2] SEARCH "director of Solaris" u=+0.31 d=1.00 r=0.31 s=0.12 rho=0.50 | calls 1/2 tok 38/300 | guard: weak...`
    """
    outcome = "" if step.outcome == "ok" else f" {step.outcome}"
    head = f"[{step.step}] {step.action}{outcome}"
    support = f"s={step.s:.2f} rho={step.rho:.2f} " if step.features else ""  # a host's own loop scores nothing
    return _line(head, step.query, step.chosen, support, step.ledger, step.guards)


def decision_line(decision: Decision, ledger: Sequence[AxisUse]) -> str:
    """The same for a decision that was just taken; `ledger` is `Ledger.usage()` of that moment."""
    head = f"[{decision.step}] {decision.kind}"
    support = f"s={decision.support:.2f} rho={decision.pressure:.2f} "
    return _line(head, decision.move.query, decision.chosen, support, ledger, decision.guards)


def _line(
    head: str,
    query: str,
    chosen: Option | None,
    support: str,
    ledger: Sequence[AxisUse],
    guards: Sequence[GuardNote],
) -> str:
    score = f"u={chosen.u:+.2f} d={chosen.d:.2f} r={chosen.r:.2f} " if chosen else ""
    used = " ".join(f"{_SHORT.get(use.axis, use.axis)} {use.spent:g}/{use.limit:g}" for use in ledger[:_AXES_SHOWN])
    tail = f"{score}{support}| {used}"
    notes = f" | guard: {'; '.join(f'{note.name}: {note.effect}' for note in guards)}" if guards else ""
    if query:
        room = _WIDTH - len(head) - len(tail) - _ROOM_FOR_GUARDS
        head += f' "{_cut(_one_line(query), max(_LEAST_QUERY, room))}"'
    return _cut(f"{head} {tail}{notes}", _WIDTH)


def report_table(report: "BudgetReport") -> str:
    """All steps, the accounts, the answer."""
    accounts = [
        f"{use.axis:<15} limit {use.limit:>10g}  spent {use.spent:>10g}  left {use.left:>10g}" for use in report.axes
    ]
    end = [f"{report.exit_reason} ({report.origin}), {_audit(report)}", f"answer: {_one_line(report.answer)}"]
    return "\n".join([*map(step_line, report.trace.steps), *accounts, *end])


def report_line(report: "BudgetReport") -> str:
    """Why a run ended and what it took of each limit: `answered, calls 1/2, tok 38/300, audit ok`."""
    used = [f"{_SHORT.get(use.axis, use.axis)} {use.spent:g}/{use.limit:g}" for use in report.axes]
    return ", ".join([report.exit_reason, *used, _audit(report)])


def _audit(report: "BudgetReport") -> str:
    if report.audit_ok:
        return "audit ok"
    over = (f"{over.purpose} {over.resource} {over.reported:g} > {over.reserved:g}" for over in report.overruns)
    return f"audit FAILED: {'; '.join(over)}"


def _one_line(text: str) -> str:
    """Without anything that moves a cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
