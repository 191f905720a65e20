"""Trace records from what the controller knows."""

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import pydantic

from gainful.budget.actions import Observation, Search
from gainful.budget.axes import HOST_STEPS, INPUT_TOKENS, LLM_CALLS, MONEY, OUTPUT_TOKENS, TOOL_CALLS, to_units
from gainful.budget.trace import FinishRecord, StartRecord, StepRecord
from gainful.budget.types import Charge, Usage

if TYPE_CHECKING:
    from gainful.budget.report import BudgetReport
    from gainful.budget.state import OpenStep, SearchState

__all__ = ["as_usage", "finish_record", "start_record", "step_record", "versions"]


@cache
def versions() -> Mapping[str, str]:
    """What a replay must have in common with the run."""
    return {"gainful": version("gainful"), "python": platform.python_version(), "pydantic": pydantic.VERSION}


def as_usage(amounts: Mapping[str, int]) -> Usage:
    """A report that is charged exactly `amounts`."""
    given = {axis: amounts.get(axis) for axis in (OUTPUT_TOKENS, INPUT_TOKENS, TOOL_CALLS, LLM_CALLS)}
    money = to_units(MONEY, amounts[MONEY]) if MONEY in amounts else None
    return Usage.model_validate({**given, "money": money})


def start_record(state: "SearchState", value_model: str, cost_model: str) -> StartRecord:
    """Taken before the first decision, when the limits are still those of the budget."""
    return StartRecord(
        run_id=state.run_id,
        question=state.question,
        budget=state.ledger.budget,
        prices=state.ledger.prices,
        host_steps=state.ledger.limits.get(HOST_STEPS),
        tools=state.tools,
        config=state.config,
        config_hash=state.config.config_hash,
        value_model=value_model,
        cost_model=cost_model,
        versions=versions(),
    )


def step_record(
    state: "SearchState",
    opened: "OpenStep",
    observation: Observation,
    reserved: Mapping[str, int],
    charge: Charge,
    new_evidence: tuple[str, ...],
    warnings: tuple[str, ...],
) -> StepRecord:
    """One finished step."""
    decision, action = opened.decision, opened.action
    search = action if isinstance(action, Search) else None
    return StepRecord(
        run_id=state.run_id,
        step=decision.step,
        t=decision.elapsed,
        t_begin=opened.elapsed,
        t_end=state.ledger.elapsed(),
        action=action.kind,
        decided=decision.kind,
        query=search.query if search else "",
        purpose=search.purpose if search else "",
        tool=search.tool if search else "",
        k=search.num_passages if search else 0,
        features=decision.features,
        s=decision.support,
        options=decision.options,
        rho=decision.pressure,
        shadow_price=decision.shadow_price,
        guards=decision.guards,
        forced=decision.forced,
        reason=decision.reason,
        reserved=reserved,
        used=charge.amounts,
        usage=charge.source,
        ledger=state.ledger.usage(),
        new_evidence=new_evidence,
        outcome=observation.outcome,
        config_hash=state.config_hash,
        warnings=(*decision.warnings, *warnings),
        observation=observation.model_copy(update={"usage": as_usage(charge.amounts)}),
    )


def finish_record(state: "SearchState", report: "BudgetReport", base_answer: str) -> FinishRecord:
    """The end of a run."""
    return FinishRecord(
        run_id=state.run_id,
        t=state.ledger.elapsed(),
        answer=report.answer,
        base_answer=base_answer,
        exit_reason=report.exit_reason,
        finalizer=" ".join(filter(None, [report.finalized.repair, report.finalized.reason])),
        audit_ok=report.audit_ok,
        late_seconds=report.late_seconds,
        config_hash=state.config_hash,
    )
