"""What a finished run hands back: one answer, why it ended, what it took."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from gainful.budget.axes import Amount
from gainful.budget.finalizer import Finalized
from gainful.budget.memory import Evidence
from gainful.budget.trace import Trace
from gainful.budget.types import AxisUse, Grant, Overrun, Record

__all__ = ["AnswerOrigin", "BudgetReport"]

AnswerOrigin = Literal["answer", "candidate", "extract", "abstention"]


class BudgetReport(Record):
    """The result of `Controller.finish`. Everything in it is text, numbers and flags."""

    run_id: str
    question: str
    answer: str
    """The one committed answer; never empty."""
    origin: AnswerOrigin
    """The answer call, a candidate of a proposal, a span of the top passage, or nothing."""
    exit_reason: str
    """answered, sufficient, budget:<axis>, deadline, abstained or cancelled."""
    axes: tuple[AxisUse, ...]
    """Limit, spent, reserved and left per limited axis."""
    spent: Mapping[str, float]
    """On every axis that was touched."""
    overruns: tuple[Overrun, ...]
    grants: tuple[Grant, ...]
    audit_ok: bool
    late_seconds: float
    """How long after the deadline the run ended."""
    num_decisions: int
    evidence: tuple[Evidence, ...]
    citations: tuple[str, ...]
    """Evidence ids that the answer cites, unknown ones dropped."""
    finalized: Finalized
    config_hash: str
    versions: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    trace: Trace

    @property
    def limits(self) -> dict[str, Amount]:
        """Limit per limited axis, grants included, in its own unit."""
        return {use.axis: use.limit for use in self.axes}

    @property
    def left(self) -> dict[str, Amount]:
        """What was left per limited axis, in its own unit."""
        return {use.axis: use.left for use in self.axes}

    def __str__(self) -> str:
        """The answer, and on a second line why the run ended and what it took of each limit."""
        from gainful.budget.table import report_line

        return f"{self.answer}\n{report_line(self)}"

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Few: hosts print what they carry, and a whole run would fill their logs."""
        for name in ("run_id", "answer", "exit_reason", "audit_ok"):
            yield name, getattr(self, name)

    def table(self) -> str:
        """The run as text, one line per step."""
        from gainful.budget.table import report_table

        return report_table(self)

    def to_html(self, path: str | None = None) -> str:
        """The run as one static page without scripts; also written to `path` if one is given."""
        from gainful.budget.timeline import report_html

        page = report_html(self)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(page)
        return page

    def _repr_html_(self) -> str:
        from gainful.budget.timeline import report_fragment

        return report_fragment(self)
