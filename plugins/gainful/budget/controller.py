"""The state machine that a host drives: decide, begin, do the I/O, observe, until done; then finish."""

from collections.abc import Mapping, Sequence
from typing import Any

from gainful.budget.actions import Action, Decision, Fallback, Observation
from gainful.budget.begin import begin_step
from gainful.budget.choice import decide
from gainful.budget.commit import base_answer, exit_reason, make_report
from gainful.budget.config import ControllerConfig
from gainful.budget.costs import CostModel
from gainful.budget.finalizer import Draft, Finalized, Finalizer, RuleFinalizer
from gainful.budget.hashing import short_hash
from gainful.budget.ledger import Ledger
from gainful.budget.memory import Slot, StepUse
from gainful.budget.observe import apply_observation, bounded
from gainful.budget.passages import clean
from gainful.budget.prices import PriceTable
from gainful.budget.question import read_question
from gainful.budget.recording import as_usage, finish_record, start_record, step_record
from gainful.budget.registry import find_cost_model, find_value_model
from gainful.budget.report import BudgetReport
from gainful.budget.state import OpenStep, SearchState
from gainful.budget.trace import GrantRecord, Trace
from gainful.budget.types import Budget, Charge, Cost, Grant
from gainful.budget.value import ValueModel
from gainful.errors import InputError

__all__ = ["Controller"]

_DEFAULTS = ControllerConfig()


class Controller:
    """Decides, accounts and records; the host does the I/O and obeys the caps. One instance serves many runs.

        state = controller.start(question, budget, now)
        while not state.done:
            decision = controller.decide(state, now)
            action = controller.begin(state, decision, now)
            observation = host_does(action)
            controller.observe(state, action, observation, now)
        report = controller.finish(state, now)

    Args:
        config: All constants; the run keeps them, also when it is restored under another controller.
        value_model: An instance, a registered name, or `"module:attribute"`.
        cost_model: The same.
        finalizer: What may repair the form of the answer.
        prices: Needed for a limit on money.

    Raises:
        UnknownNameError: A model's name is not known.
        ConfigError: `"module:attribute"` cannot be imported.
    """

    def __init__(
        self,
        *,
        config: ControllerConfig = _DEFAULTS,
        value_model: ValueModel | str = "heuristic",
        cost_model: CostModel | str = "running_median",
        finalizer: Finalizer | None = None,
        prices: PriceTable | None = None,
    ) -> None:
        self.config, self.prices = config, prices
        self.value_model = find_value_model(value_model)
        self.cost_model = find_cost_model(cost_model)
        self.finalizer = finalizer or RuleFinalizer()

    def start(
        self,
        question: str,
        budget: Budget | str | Mapping[str, Any],
        now: float,
        *,
        tools: Sequence[str] = ("search",),
        host_steps: int | None = None,
        run_id: str = "",
    ) -> SearchState:
        """A new run with its own ledger.

        Args:
            question: Cut after `max_text_chars`.
            budget: The limits, or what `Budget.parse` reads.
            now: Reading of a monotonic clock, seconds; all later ones must come from the same clock.
            tools: Names of the search tools; of equally good ones the first is called.
            host_steps: Steps that the host's own loop can still take, the answer's included; None for no limit.
            run_id: For traces; by default a hash of question and constants.

        Raises:
            ConfigError: The budget cannot be read, or limits money and there are no prices.
            InputError: There is no tool, or `now` is no clock reading.
        """
        if not tools:
            raise InputError("controller: tools must name at least one search tool, got none")
        question = clean(question, self.config.max_text_chars)
        ledger = Ledger(Budget.parse(budget), now=now, prices=self.prices, host_steps=host_steps, config=self.config)
        name = run_id or short_hash(f"{question}\n{self.config.config_hash}")
        state = SearchState(
            run_id=name,
            question=question,
            config=self.config,
            config_hash=self.config.config_hash,
            ledger=ledger,
            tools=tuple(dict.fromkeys(tools)),
            trace=Trace(),
            slots=_first_slots(question, self.config),
        )
        state.trace.append(start_record(state, _name(self.value_model), _name(self.cost_model)))
        return state

    def decide(self, state: SearchState, now: float) -> Decision:
        """What to do next. Changes nothing, so it may be asked as often as one likes.

        Raises:
            InputError: The run is over, or a step was begun and not observed.
        """
        _check_turn(state)
        return decide(state, now, self.value_model, self.cost_model)

    def begin(self, state: SearchState, decision: Decision, now: float) -> Action:
        """Reserve the most that the decided step may take and say what to do.

        Where time went on and the step no longer fits, the answer is asked for instead; where not even that fits, or
        there is no evidence, a `Fallback`.

        Raises:
            InputError: The run is over, a step is open, or the decision is not about the present step.
        """
        _check_turn(state)
        if decision.step != state.step:
            raise InputError(f"controller: the decision is about step {decision.step}, the run is at {state.step}")
        action = begin_step(state, decision, now)
        state.open = OpenStep(decision=decision, action=action, elapsed=state.ledger.elapsed())
        return action

    def observe(self, state: SearchState, action: Action, observation: Observation, now: float | None = None) -> None:
        """Settle a step, take in what it brought, and record it. Must be called once for each action of `begin`.

        Raises:
            InputError: The action is not the open one, for example because it was observed before.
        """
        opened = state.open
        if opened is None or opened.action != action:
            raise InputError(
                f"controller: {action.kind} of step {action.step} is not open; observe each action exactly once"
            )
        observation = bounded(observation, state.config)
        reserved, charge = _settle(state, action, observation, now)
        state.open = None
        new_evidence = apply_observation(state, action, observation)
        took = state.ledger.elapsed() - opened.elapsed
        warnings = self._learn(state, opened, observation, charge, took)
        state.trace.append(step_record(state, opened, observation, reserved, charge, new_evidence, warnings))
        state.step += 1
        state.refresh()

    def grant(self, state: SearchState, cost: Cost, reason: str, now: float) -> Grant:
        """Raise the limits of a run, for example by what a human allowed, and record it."""
        grant = state.ledger.grant(cost, reason, now)
        state.trace.append(GrantRecord(run_id=state.run_id, t=grant.elapsed, cost=cost, reason=reason))
        return grant

    def finish(self, state: SearchState, now: float, *, cancelled: bool = False) -> BudgetReport:
        """Commit the one answer of the run. Never raises; called again, it returns the same report.

        A step that is still open counts as cancelled and is charged in full.
        """
        if state.report:
            return state.report
        warnings = _read_clock(state, now)
        if state.open:
            cancelled = True
            self.observe(state, state.open.action, Observation(outcome="cancelled"))
        answer, origin = base_answer(state)
        finalized = Finalized(answer=answer, reason=f"not for {origin}")
        if origin in ("answer", "candidate"):
            finalized, failure = self._finalized(state, answer)
            warnings += failure
        why = exit_reason(state, origin, cancelled=cancelled)
        report = make_report(state, finalized, origin, why, warnings)
        state.trace.append(finish_record(state, report, answer))
        state.report, state.done = report, True
        return report

    # plug-ins: whatever they do, the run goes on

    def _learn(
        self, state: SearchState, opened: OpenStep, observation: Observation, charge: Charge, took: int
    ) -> tuple[str, ...]:
        """Remember what a started step took, for the run and for the cost model."""
        if not observation.started or isinstance(opened.action, Fallback):
            return ()
        usage = as_usage(charge.amounts)
        state.uses.append(
            StepUse(
                kind=opened.action.kind,
                output_tokens=usage.output_tokens or 0,
                input_tokens=usage.input_tokens or 0,
                elapsed=took,
            )
        )
        try:
            self.cost_model.observe(opened.decision.move, usage)
        except Exception as error:
            return (f"{_name(self.cost_model)}: observe: {type(error).__name__}",)
        return ()

    def _finalized(self, state: SearchState, answer: str) -> tuple[Finalized, list[str]]:
        try:
            finalized = self.finalizer.finalize(_draft(state, answer))
            if isinstance(finalized, Finalized) and finalized.answer.strip():
                return finalized, []
            failure = "no answer"
        except Exception as error:
            failure = type(error).__name__
        return Finalized(answer=answer, reason="the finalizer failed"), [f"finalizer: {failure}; the answer stays"]


def _name(model: object) -> str:
    return str(getattr(model, "name", type(model).__name__))


def _first_slots(question: str, config: ControllerConfig) -> list[Slot]:
    """One; for a comparison one per name."""
    form = read_question(question, config)
    return [Slot(text=text) for text in (form.names if form.is_comparison else (question,))]


def _check_turn(state: SearchState) -> None:
    if state.done:
        raise InputError("controller: the run is over; call finish, or start a new run")
    if state.open:
        action = state.open.action
        raise InputError(
            f"controller: {action.kind} of step {action.step} is still open; observe it first, "
            "with outcome 'cancelled' if its result is lost"
        )


def _read_clock(state: SearchState, now: float) -> list[str]:
    try:
        state.ledger.read_clock(now)
    except (InputError, TypeError) as error:
        return [str(error)]
    return []


def _settle(
    state: SearchState, action: Action, observation: Observation, now: float | None
) -> tuple[Mapping[str, int], Charge]:
    """What was reserved and what is charged; nothing for what never started."""
    ledger = state.ledger
    if isinstance(action, Fallback):
        if now is not None:
            ledger.read_clock(now)
        return {}, Charge(amounts={}, source="reported")
    reserved = ledger.amounts_of(action.reservation_id)
    if not observation.started:
        ledger.release(action.reservation_id, now)
        return reserved, Charge(amounts={}, source="reported")
    return reserved, ledger.settle(action.reservation_id, observation.usage, now)


def _draft(state: SearchState, answer: str) -> Draft:
    return Draft(
        base_answer=answer,
        question=state.form,
        config=state.config,
        slots=tuple(state.slots),
        evidence=tuple(state.evidence),
        steps=tuple(state.trace.steps),
    )
