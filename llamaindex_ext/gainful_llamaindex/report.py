"""The report of one run: what was allowed, what was spent, and why it ended."""

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field

from gainful.budget import AxisUse, Ledger, Overrun

__all__ = ["BudgetReport", "StepRow"]


class StepRow(BaseModel):
    """One call of a model or a tool."""

    label: str
    started: float
    """Seconds since the start of the run."""
    ended: float
    charged: dict[str, int] = Field(default_factory=dict)
    source: str = "reported"


class BudgetReport(BaseModel):
    """What a run was allowed, what it spent, and why it ended. Plain data: survives JSON."""

    model_config = ConfigDict(frozen=True)

    answer: str
    exit_reason: str
    """answered | sufficient | budget:<axis> | deadline | abstained | cancelled"""
    axes: list[AxisUse]
    overruns: list[Overrun] = Field(default_factory=list)
    audit_ok: bool
    steps: list[StepRow] = Field(default_factory=list)

    @classmethod
    def of(cls, ledger: Ledger, now: float, *, answer: str, exit_reason: str, steps: list[StepRow]) -> "BudgetReport":
        """Read the accounts at the moment `now`."""
        return cls(
            answer=answer,
            exit_reason=exit_reason,
            axes=list(ledger.usage(now)),
            overruns=list(ledger.overruns),
            audit_ok=ledger.audit_ok,
            steps=steps,
        )

    @property
    def spent(self) -> dict[str, Any]:
        """Per limited axis, in its own unit."""
        return {use.axis: use.spent for use in self.axes}

    @property
    def limits(self) -> dict[str, Any]:
        """Per limited axis, in its own unit."""
        return {use.axis: use.limit for use in self.axes}

    @property
    def left(self) -> dict[str, Any]:
        """Per limited axis, in its own unit."""
        return {use.axis: use.left for use in self.axes}

    def __str__(self) -> str:
        spent = ", ".join(f"{use.axis} {use.spent:g}/{use.limit:g}" for use in self.axes)
        return f"{self.exit_reason}: {spent}{'' if self.audit_ok else ' (overrun)'}"
