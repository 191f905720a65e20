"""What an observation changes in a state. Model output is data: it is cut, read line by line and never trusted."""

from typing import TYPE_CHECKING

from gainful.budget.actions import Action, Answer, Critique, Fallback, Observation, Passage, Propose, Search
from gainful.budget.citations import split_citations
from gainful.budget.features import candidate_support, covers_slot
from gainful.budget.memory import Candidate, Query, Slot
from gainful.budget.passages import as_evidence, clean
from gainful.budget.proposal import parse_critic_score, parse_proposal
from gainful.budget.queries import is_grounded
from gainful.budget.text import jaccard, normalise, tokens

if TYPE_CHECKING:
    from gainful.budget.config import ControllerConfig
    from gainful.budget.state import SearchState

__all__ = ["apply_observation", "bounded"]


def bounded(observation: Observation, config: "ControllerConfig") -> Observation:
    """The part of an observation that is kept: what is not `ok` has no content, texts and their number are cut.

    Twice as many passages as a run may keep: some will be double.
    """
    if observation.outcome != "ok" or not observation.started:
        return observation.model_copy(update={"passages": (), "text": ""})
    passages = tuple(
        Passage(
            title=clean(found.title, config.max_text_chars),
            text=clean(found.text, config.max_text_chars),
            score=found.score,
        )
        for found in observation.passages[: 2 * config.max_evidence]
    )
    return observation.model_copy(update={"passages": passages, "text": clean(observation.text, config.max_text_chars)})


def apply_observation(state: "SearchState", action: Action, observation: Observation) -> tuple[str, ...]:
    """Take a bounded observation in; returns the ids of new evidence. The digest is stale afterwards."""
    text = observation.text
    new: tuple[str, ...] = ()
    if isinstance(action, Search):
        new = _searched(state, action, observation)
    elif isinstance(action, Propose):
        _proposed(state, text)
    elif isinstance(action, Critique):
        _criticised(state, text)
    elif isinstance(action, Answer):
        state.answer, state.citations = split_citations(text, action.evidence_ids)
    state.critiqued = isinstance(action, Critique)
    if isinstance(action, Search | Propose):
        state.last_kind = action.kind
    state.done = isinstance(action, Answer | Fallback)
    return new


def _searched(state: "SearchState", action: Search, observation: Observation) -> tuple[str, ...]:
    evidence = as_evidence(observation.passages, state.num_searches)
    known = {passage.id for passage in state.evidence}
    fresh = [passage for passage in evidence if passage.id not in known]
    kept = fresh[: max(0, state.config.max_evidence - len(state.evidence))]
    state.evidence += kept
    state.num_dropped += len(fresh) - len(kept)
    terms = tuple(sorted(set(tokens(action.query))))
    state.queries.append(Query(text=action.query, terms=terms, purpose=action.purpose, num_new=len(kept)))
    state.num_searches += 1
    state.dry = 0 if kept else state.dry + 1
    state.proposals_since_new = 0 if kept else state.proposals_since_new
    state.index_evidence()
    if action.purpose == "pending":
        state.pending = None
        if not kept:
            _replace(state, _open_slot(state), status="failed")
    _fill_from_passages(state)
    return tuple(passage.id for passage in kept)


def _proposed(state: "SearchState", text: str) -> None:
    """What cannot be read changes nothing but the counts, which damp the next proposal."""
    state.num_proposals += 1
    state.proposals_since_new += 1
    proposal = parse_proposal(text)
    state.claims_done = bool(proposal.done)
    if proposal.found:
        _fill(state, proposal.found)
    if _is_of_use(state, proposal.next_query):
        state.pending = proposal.next_query
        state.slots.append(Slot(text=proposal.next_query, proposed=True))
    if proposal.done:
        support = candidate_support(proposal.done, state.index)
        state.candidates.append(Candidate(answer=proposal.done, origin="proposal", support=support))
        _fill_all(state, proposal.done)


def _criticised(state: "SearchState", text: str) -> None:
    score = parse_critic_score(text)
    if score is not None:
        state.critic_scores.append(score)


def _is_of_use(state: "SearchState", query: str) -> bool:
    """Neither empty nor searched before nor about nothing that is known; searches are too few to try it anyway."""
    terms = tokens(query)
    searched = any(jaccard(terms, earlier.terms) >= state.config.repeat_from for earlier in state.queries)
    return bool(terms) and not searched and is_grounded(query, state)


def _fill(state: "SearchState", span: str) -> None:
    """Fill the last open proposed slot, or a new one, if a passage holds the span."""
    ids = _holding(state, span)
    if not ids:
        return
    place = _open_slot(state)
    if place is None:
        state.slots.append(Slot(text="", status="filled", value=span, evidence_ids=ids, proposed=True))
    else:
        _replace(state, place, status="filled", value=span, evidence_ids=ids)


def _fill_all(state: "SearchState", answer: str) -> None:
    """An answer that a passage holds, or yes or no to such a question, closes what is open."""
    ids = _holding(state, answer)
    is_polar = state.form.kind == "yes_no" and normalise(answer) in ("yes", "no") and bool(state.evidence)
    if ids or is_polar:
        for place, slot in enumerate(state.slots):
            if slot.status == "open":
                _replace(state, place, status="filled", value=answer, evidence_ids=ids)


def _fill_from_passages(state: "SearchState") -> None:
    """Slots that the question itself names need no proposal: a passage that covers them fills them."""
    for place, slot in enumerate(state.slots):
        if slot.status == "open" and not slot.proposed:
            ids = tuple(name for name, words in state.index.items() if covers_slot(slot.text, words, state.config))
            if ids:
                _replace(state, place, status="filled", evidence_ids=ids)


def _holding(state: "SearchState", span: str) -> tuple[str, ...]:
    return tuple(name for name, passage in state.index.items() if passage.holds(span))


def _open_slot(state: "SearchState") -> int | None:
    """Place of the last proposed slot that is open."""
    places = [place for place, slot in enumerate(state.slots) if slot.proposed and slot.status == "open"]
    return places[-1] if places else None


def _replace(state: "SearchState", place: int | None, **changes: object) -> None:
    if place is not None:
        state.slots[place] = state.slots[place].model_copy(update=changes)
