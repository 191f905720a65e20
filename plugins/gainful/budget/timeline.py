"""A run as one static page: no script, no network, readable in light and dark, and without colour."""

from html import escape
from typing import TYPE_CHECKING

from gainful.budget.axes import MICRO
from gainful.budget.table import step_line
from gainful.budget.trace import StepRecord

if TYPE_CHECKING:
    from gainful.budget.report import BudgetReport
    from gainful.budget.types import AxisUse

__all__ = ["report_fragment", "report_html"]

_CITED_CHARS = 600
_MAX_CITED = 10
_WIDTH = 720  # of the time axis, in its own units
_LEAST = 22  # of one action, so that its letter fits
_LETTERS = {
    "SEARCH": "S",
    "DECOMPOSE": "D",
    "CRITIQUE": "C",
    "STEP": "M",
    "TOOL": "T",
    "ANSWER": "A",
    "FALLBACK": "F",
}
"""STEP and TOOL are what a host's own loop does under a ledger: a call of its model, a call of a tool."""

_STYLE = """
.gainful-run{--ink:#1b1f24;--dim:#57606a;--paper:#fff;--line:#d0d7de;--fill:#0b6bcb;--open:#9a6700;color:var(--ink);
background:var(--paper);font:15px/1.5 system-ui,sans-serif;max-width:60rem;padding:1.5rem;border-radius:8px}
@media (prefers-color-scheme:dark){.gainful-run{--ink:#e6edf3;--dim:#9da7b1;--paper:#0d1117;--line:#3d444d;
--fill:#4c9aff;--open:#d4a72c}}
.gainful-run h2{font-size:1.25rem;margin:0 0 .25rem}.gainful-run h3{font-size:1rem;margin:1.25rem 0 .5rem}
.gainful-run .dim{color:var(--dim)}.gainful-run .answer{border-left:4px solid var(--fill);padding:.25rem .75rem;
font-size:1.1rem;overflow-wrap:anywhere}
.gainful-run .bar{display:grid;grid-template-columns:9rem 1fr 15rem;gap:.75rem;align-items:center;margin:.2rem 0}
.gainful-run .track{height:.8rem;border:1px solid var(--line);border-radius:3px;display:flex;overflow:hidden}
.gainful-run .spent{background:var(--fill)}.gainful-run .reserved{background:repeating-linear-gradient(45deg,
var(--open) 0 4px,transparent 4px 8px)}
.gainful-run svg{width:100%;height:auto;display:block}
.gainful-run rect{fill:var(--paper);stroke:var(--fill);stroke-width:1.5}
.gainful-run rect.bad{stroke:var(--open);stroke-dasharray:4 3}
.gainful-run text{fill:var(--ink);font:12px system-ui,sans-serif;text-anchor:middle;dominant-baseline:central}
.gainful-run ol{padding-left:1.5rem;margin:.5rem 0}.gainful-run .steps{list-style:none;padding:0}
.gainful-run li{overflow-wrap:anywhere;margin:.25rem 0}
.gainful-run code{font:13px/1.4 ui-monospace,monospace;white-space:pre-wrap}
@media (max-width:40rem){.gainful-run .bar{grid-template-columns:1fr}.gainful-run text{font-size:22px}}
"""


def report_html(report: "BudgetReport") -> str:
    """A whole page."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_text(report.question, 80)}</title>"
        "<style>body{margin:0}@media (prefers-color-scheme:dark){body{background:#0d1117}}</style>"
        f"</head><body>{report_fragment(report)}</body></html>\n"
    )


def report_fragment(report: "BudgetReport") -> str:
    """The page's content with its own style, for notebooks."""
    audit = "✓ audit ok" if report.audit_ok else "✗ audit failed"
    steps = report.trace.steps
    lines = "".join(f"<li><code>{_text(step_line(step))}</code></li>" for step in steps)
    return "".join(
        [
            f'<section class="gainful-run"><style>{_STYLE}</style>',
            f"<h2>{_text(report.question, 300)}</h2>",
            f'<p class="answer">{_text(report.answer, 2000)}</p>',
            f'<p class="dim">{_text(report.exit_reason)} · from: {report.origin} · {audit} · ',
            f"constants {report.config_hash}</p>",
            "<h3>Budget</h3>",
            *map(_bar, report.axes),
            "<h3>Time</h3>",
            _time_axis(steps),
            f'<h3>Steps</h3><ol class="steps">{lines}</ol>',
            _passages(report),
            "</section>",
        ]
    )


def _bar(use: "AxisUse") -> str:
    """Spent is solid, reserved is hatched, and the numbers stand beside it."""
    whole = max(use.limit, use.spent + use.reserved) or 1
    numbers = f"{use.spent:g} of {use.limit:g} spent, {use.left:g} left"
    spent, reserved = (100 * amount / whole for amount in (use.spent, use.reserved))
    return (
        f'<div class="bar" title="{_text(use.axis)}: {numbers}"><span>{_text(use.axis)}</span><div class="track">'
        f'<div class="spent" style="width:{spent:.2f}%"></div>'
        f'<div class="reserved" style="width:{reserved:.2f}%"></div></div><span class="dim">{numbers}</span></div>'
    )


def _time_axis(steps: list[StepRecord]) -> str:
    """One box per action from begin to end, with its letter; a dashed one did not succeed."""
    if not steps:
        return '<p class="dim">No step was taken.</p>'
    whole = max(step.t_end for step in steps) or 1
    room = max(_WIDTH - _LEAST * len(steps), 0)
    boxes = []
    left = 0.0
    for step in steps:
        width = _LEAST + room * (step.t_end - step.t_begin) / whole
        left = max(left, room * step.t_begin / whole)
        boxes.append(_box(step, left, width))
        left += width + 2
    taken = {step.action for step in steps}
    legend = ", ".join(f"{letter} {name.lower()}" for name, letter in _LETTERS.items() if name in taken)
    box = f'viewBox="0 0 {max(_WIDTH, left):.0f} 34" role="img" aria-label="actions over time"'
    return (
        f'<svg {box}>{"".join(boxes)}</svg><p class="dim">{whole / MICRO:.3g} s; {legend}; dashed: did not succeed</p>'
    )


def _box(step: StepRecord, left: float, width: float) -> str:
    seconds = f"{step.t_begin / MICRO:.2f}-{step.t_end / MICRO:.2f} s"
    title = _text(f"{step_line(step)} | {seconds} | {step.outcome}")
    state = "" if step.outcome == "ok" else ' class="bad"'
    return (
        f'<g><title>{title}</title><rect{state} x="{left:.1f}" y="4" width="{width:.1f}" height="26" rx="4"/>'
        f'<text x="{left + width / 2:.1f}" y="17">{_LETTERS[step.action]}</text></g>'
    )


def _passages(report: "BudgetReport") -> str:
    """What the answer cites, or what was found if it cites nothing."""
    by_id = {passage.id: passage for passage in report.evidence}
    cited = [by_id[name] for name in report.citations if name in by_id]
    shown = (cited or list(report.evidence))[:_MAX_CITED]
    if not shown:
        return ""
    items = "".join(
        f"<li><b>{_text(passage.title, 120)}</b> {_text(passage.text, _CITED_CHARS)}</li>" for passage in shown
    )
    return f"<h3>{'Cited' if cited else 'Found, not cited'}</h3><ol>{items}</ol>"


def _text(value: str, max_chars: int = 200) -> str:
    """Cut, then escaped for text and attributes; control characters become spaces."""
    printable = "".join(char if char.isprintable() else " " for char in value[:max_chars])
    return escape(printable + ("…" if len(value) > max_chars else ""), quote=True)
