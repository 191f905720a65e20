"""Tables as Markdown, which a terminal shows as well as a file."""

from collections.abc import Iterable, Mapping, Sequence

from bootstrap import Estimate
from finalizing import Repairs
from headroom import DEPTHS, Row
from summary import LEAST_GAIN, Bar, Figures


def markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One table; every column but the first is aligned to the right."""
    rule = ["---", *["---:"] * (len(headers) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headers, rule, *rows])


def headroom_table(rows_of: dict[str, list[Row]]) -> str:
    """All-gold recall by depth, one block of rows per set."""
    headers = ["set", "searches", *(f"{depth} passage{'s' * (depth > 1)}" for depth in DEPTHS)]
    rows = [[name, row.name, *(f"{value:.3f}" for value in row.recall)] for name, of in rows_of.items() for row in of]
    return markdown(headers, rows)


def headline_table(found: Mapping[str, tuple[Estimate, Estimate]]) -> str:
    """Methods from best to worst."""
    headers = ["method", "F1-equivalent", "95 % interval", "VOI less it", "95 % interval"]
    ordered = sorted(found.items(), key=lambda item: -item[1][0].mean)
    rows = [
        [name, f"{own.mean:.3f}", _interval(own, ".3f"), f"{gap.mean:+.3f}", _interval(gap, "+.3f")]
        for name, (own, gap) in ordered
    ]
    return markdown(headers, rows)


def cell_table(found: Mapping[tuple[str, str, str], Figures], name: str) -> str:
    """All figures of one set."""
    headers = [
        "budget",
        "method",
        "F1",
        "EM",
        "all gold",
        "calls",
        "out tokens",
        "in tokens",
        "answered",
        "F1 if so",
        "ms",
    ]
    rows = [
        [
            budget,
            method,
            *(f"{value:.3f}" for value in (one.f1, one.em, one.all_gold)),
            f"{one.calls:.2f}",
            f"{one.output_tokens:.0f}",
            f"{one.input_tokens:.0f}",
            f"{one.coverage:.2f}",
            f"{one.f1_answered:.3f}",
            f"{one.milliseconds:.0f}",
        ]
        for (of, budget, method), one in found.items()
        if of == name
    ]
    return markdown(headers, rows)


def bar_text(bar: Bar) -> str:
    """The three conditions with their verdicts."""
    gain, behind, audit = ("met" if met else "MISSED" for met in bar.verdicts)
    worst = min(bar.behind, key=lambda name: bar.behind[name].mean + bar.behind[name].half_width)
    return "\n".join(
        [
            f"1. VOI less the best baseline ({bar.best}), at least +{LEAST_GAIN:.2f} and above 0: {bar.gain} {gain}",
            f"   with the best chosen again in each resample: {bar.gain_to_best}",
            f"2. behind no guarded agent by more than the half-width; worst {worst}: {bar.behind[worst]} {behind}",
            f"3. audit failures 0: {bar.audit_failures} {audit}",
        ]
    )


def finalizer_table(found: Mapping[str, Repairs]) -> str:
    """Mean F1 over all rows without and with it, and what it did."""
    headers = ["method", "answers", "F1 without", "F1 with", "changed", "fixed", "broken"]
    rows = [
        [
            name,
            f"{one.rows:,}",
            f"{one.before / one.rows:.3f}",
            f"{one.after / one.rows:.3f}",
            *map(str, (one.changed, one.fixed, one.broken)),
        ]
        for name, one in found.items()
    ]
    return markdown(headers, rows)


def sweep_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Means by assumption and method, and the method that is best under it."""
    methods = list(next(iter(found.values())))
    rows = [
        [name, *(f"{row[one]:.3f}" for one in methods), max(row, key=lambda one: row[one])]
        for name, row in found.items()
    ]
    return markdown(["assumption", *methods, "best"], rows)


def _interval(one: Estimate, form: str) -> str:
    return f"[{one.low:{form}}, {one.high:{form}}]"
