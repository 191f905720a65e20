"""What the service did so far, in the text format of Prometheus. No label holds anything that a user wrote."""

from collections import Counter

from gainful.budget import BudgetReport

__all__ = ["Counts"]

_HELP = {
    "responses_total": "Answers to requests, by HTTP status.",
    "runs_total": "Runs that began, by why they ended.",
    "spent_total": "What runs took, by axis; cancelled and failed runs included.",
    "violations_total": "Runs in which more was used than was reserved, or a limit did not hold.",
    "running": "Runs that go on now.",
    "waiting": "Requests that wait for their turn.",
}
_GAUGES = ("running", "waiting")


class Counts:
    """Counters of one process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter({("violations_total", ""): 0})

    def response(self, status: int) -> None:
        """Count an answer."""
        self._counts["responses_total", f'status="{status}"'] += 1

    def run(self, report: BudgetReport) -> None:
        """Count a run that has ended."""
        self._counts["runs_total", f'exit="{report.exit_reason}"'] += 1
        for axis, amount in report.spent.items():
            self._counts["spent_total", f'axis="{axis}"'] += amount
        self._counts["violations_total", ""] += violated(report)

    def text(self, running: int, waiting: int) -> str:
        """All of it, for a scraper."""
        found = self._counts | Counter({("running", ""): running, ("waiting", ""): waiting})
        found.update({("running", ""): 0, ("waiting", ""): 0, ("violations_total", ""): 0})
        lines = []
        for name, meaning in _HELP.items():
            kind = "gauge" if name in _GAUGES else "counter"
            lines += [f"# HELP gainful_agent_{name} {meaning}", f"# TYPE gainful_agent_{name} {kind}"]
            lines += [_line(name, labels, found[name, labels]) for one, labels in sorted(found) if one == name]
        return "\n".join(lines) + "\n"


def violated(report: BudgetReport) -> bool:
    """True if the ledger says that a hard limit did not hold."""
    return not report.audit_ok


def _line(name: str, labels: str, value: float) -> str:
    return f"gainful_agent_{name}{{{labels}}} {value:g}" if labels else f"gainful_agent_{name} {value:g}"
