"""A run as text: one line per step, then the accounts."""

from typing import TYPE_CHECKING

from gainful.budget.axes import OUTPUT_TOKENS, TOOL_CALLS
from gainful.budget.trace import StepRecord

if TYPE_CHECKING:
    from gainful.budget.report import BudgetReport

__all__ = ["report_table", "step_line"]

_WIDTH = 140
_SHORT = {TOOL_CALLS: "calls", OUTPUT_TOKENS: "tok", "llm_calls": "llm", "seconds": "s", "input_tokens": "in"}


def step_line(step: StepRecord) -> str:
    """One step in at most 140 characters, the query shortened first, then the guards.

    `[2] SEARCH "director of Solaris" u=+0.31 d=1.00 r=0.31 s=0.12 rho=0.50 | calls 1/2 tok 38/300 | guard: weak...`
    """
    chosen = step.chosen
    score = f"u={chosen.u:+.2f} d={chosen.d:.2f} r={chosen.r:.2f} " if chosen else ""
    used = " ".join(f"{_SHORT.get(use.axis, use.axis)} {use.spent:g}/{use.limit:g}" for use in step.ledger[:2])
    outcome = "" if step.outcome == "ok" else f" {step.outcome}"
    head = f"[{step.step}] {step.action}{outcome}"
    tail = f"{score}s={step.s:.2f} rho={step.rho:.2f} | {used}"
    notes = f" | guard: {'; '.join(f'{note.name}: {note.effect}' for note in step.guards)}" if step.guards else ""
    if step.query:
        head += f' "{_cut(_one_line(step.query), max(8, _WIDTH - len(head) - len(tail) - 36))}"'
    return _cut(f"{head} {tail}{notes}", _WIDTH)


def report_table(report: "BudgetReport") -> str:
    """All steps, the accounts, the answer."""
    accounts = [
        f"{use.axis:<15} limit {use.limit:>10g}  spent {use.spent:>10g}  left {use.left:>10g}" for use in report.axes
    ]
    audit = (
        "audit ok"
        if report.audit_ok
        else "audit FAILED: "
        + "; ".join(f"{over.purpose} {over.resource} {over.reported:g} > {over.reserved:g}" for over in report.overruns)
    )
    end = [f"{report.exit_reason} ({report.origin}), {audit}", f"answer: {_one_line(report.answer)}"]
    return "\n".join([*map(step_line, report.trace.steps), *accounts, *end])


def _one_line(text: str) -> str:
    """Without anything that moves a cursor."""
    return "".join(char if char.isprintable() else " " for char in text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
