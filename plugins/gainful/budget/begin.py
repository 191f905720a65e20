"""Beginning a step: from a decision to a reservation and to what the host is to do."""

from gainful.budget.actions import Action, Answer, Critique, Decision, Fallback, Propose, Search
from gainful.budget.ledger import Ledger
from gainful.budget.state import SearchState
from gainful.budget.steps import answer_cost, caps_of, model_step_cost, search_cost
from gainful.budget.types import ANSWER, Cost, Refusal, Reservation

__all__ = ["begin_step"]


def begin_step(state: SearchState, decision: Decision, now: float) -> Action:
    """Reserve what the decided step may take; the answer where that no longer fits, a fallback where nothing does."""
    if decision.kind == "ANSWER":
        return _answer(state, decision.reason, now)
    outcome = _reserve(state.ledger, _step_cost(state, decision, now), decision.kind.lower(), now)
    if isinstance(outcome, Refusal):
        return _answer(state, outcome.resource, now)
    step, name, caps = state.step, outcome.id, caps_of(state.ledger, outcome)
    if decision.kind == "SEARCH":
        move = decision.move
        return Search(
            step=step,
            reservation_id=name,
            caps=caps,
            query=move.query,
            purpose=move.purpose,
            tool=move.tool,
            num_passages=state.config.passages_per_search,
        )
    if decision.request is not None:
        return Critique(step=step, reservation_id=name, caps=caps, request=decision.request)
    return Propose(step=step, reservation_id=name, caps=caps, evidence_ids=_in_order(state))


def _answer(state: SearchState, reason: str, now: float) -> Action:
    """The answer call, or a fallback where it does not fit or nothing was found to answer from."""
    state.closing = reason
    if not state.evidence and not state.config.closed_book:
        return Fallback(step=state.step, reason="no evidence")
    outcome = _reserve(state.ledger, answer_cost(state.ledger, now, state.config), ANSWER, now)
    if isinstance(outcome, Refusal):
        state.closing = outcome.resource
        return Fallback(step=state.step, reason=outcome.resource)
    return Answer(
        step=state.step,
        reservation_id=outcome.id,
        caps=caps_of(state.ledger, outcome),
        evidence_ids=_in_order(state),
        closed_book=not state.evidence,
    )


def _step_cost(state: SearchState, decision: Decision, now: float) -> Cost | Refusal:
    """The most that a step before the answer may take at this moment."""
    ledger, config = state.ledger, state.config
    room = ledger.room(decision.kind.lower(), now)
    if decision.kind == "SEARCH":
        return search_cost(ledger, room, decision.move.tool)
    asked = decision.request.max_output_tokens if decision.request else config.critic_cap
    cap = config.propose_cap if decision.kind == "DECOMPOSE" else min(asked, config.critic_cap)
    return model_step_cost(ledger, room, cap, config)


def _reserve(ledger: Ledger, cost: Cost | Refusal, purpose: str, now: float) -> Reservation | Refusal:
    return cost if isinstance(cost, Refusal) else ledger.reserve(cost, purpose, now)


def _in_order(state: SearchState) -> tuple[str, ...]:
    """Evidence by slot, then by rank, the earlier search first."""
    by_slot = [name for slot in state.slots for name in slot.evidence_ids]
    by_rank = sorted(state.evidence, key=lambda passage: (passage.rank, passage.query))
    return tuple(dict.fromkeys([*by_slot, *(passage.id for passage in by_rank)]))
