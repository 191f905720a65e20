"""The invariants of a run, against a host that misbehaves in every way it can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.budget import Budget, Cost, Ledger, LedgerSnapshot, PriceTable, Reservation, Usage
from gainful.budget.actions import Answer, Observation
from gainful.budget.controller import Controller
from gainful.budget.feasible import search_limit
from gainful.budget.hostile import (
    HostileValue,
    Hostility,
    broken_limits,
    drive,
    random_budget,
    random_question,
    seeded,
)
from gainful.budget.replay import replay
from gainful.budget.state import SearchState
from gainful.budget.text import jaccard, tokens
from gainful.budget.trace import FinishRecord, Trace
from gainful.errors import InputError

PRICES = PriceTable(input=1, output=2, per_tool={"web": 0.0001})
HONEST = Hostility(overruns=False)
SEEDS = st.integers(0, 2**32)


def spent_and_reserved_fit(state):
    """I1; seconds may go over by what the host was late."""
    for use in state.ledger.usage():
        late = state.ledger.late_seconds if use.axis == "seconds" else 0
        assert use.spent + use.reserved <= use.limit + late + 1e-9, use


def run(seed, hostility, check=lambda state: None, *, hostile_value=False):
    draw = seeded(seed)
    controller = Controller(prices=PRICES, value_model=HostileValue(draw) if hostile_value else "heuristic")
    ran = drive(controller, random_question(draw), random_budget(draw), draw, hostility, check)
    return controller, ran


@given(SEEDS, st.booleans())
def test_spent_and_reserved_never_exceed_a_limit_while_caps_are_obeyed(seed, hostile_value):  # I1
    _, ran = run(seed, HONEST, spent_and_reserved_fit, hostile_value=hostile_value)
    assert ran.report.audit_ok
    assert broken_limits(ran) == []


@given(SEEDS, st.booleans())
def test_calls_stay_exact_whatever_the_host_does(seed, hostile_value):  # I1, L1, L2
    _, ran = run(seed, Hostility(), hostile_value=hostile_value)
    assert broken_limits(ran) == []


@given(SEEDS)
def test_an_ignored_cap_fails_the_audit(seed):  # I2
    _, ran = run(seed, Hostility())
    if ran.overran and ran.state.ledger.budget.output_tokens is not None:
        assert not ran.report.audit_ok
        assert ran.report.overruns


@given(SEEDS, st.booleans())
def test_every_run_commits_exactly_one_answer(seed, hostile_value):  # I3
    controller, ran = run(seed, Hostility(), hostile_value=hostile_value)
    assert ran.report.answer.strip()
    assert sum(isinstance(record, FinishRecord) for record in ran.report.trace.records) == 1
    assert controller.finish(ran.state, 0.0) is ran.report
    with pytest.raises(InputError, match="over"):
        controller.decide(ran.state, 0.0)


@given(SEEDS, st.booleans())
def test_the_number_of_steps_is_bounded(seed, hostile_value):  # I4
    _, ran = run(seed, Hostility(), hostile_value=hostile_value)
    steps = [step for step in ran.report.trace.steps if step.action != "CRITIQUE"]
    assert len(steps) <= search_limit(ran.state) + ran.state.config.max_proposals + 1
    assert len(ran.report.trace.steps) <= 2 * len(steps) + 1


@given(SEEDS)
def test_only_the_answer_draws_on_the_reserve(seed):  # I5
    def check(state):
        if state.open is None or isinstance(state.open.action, Answer) or not state.ledger.open_reservations:
            return
        left = state.ledger.left()
        for axis, held in state.ledger.held.items():
            assert left[axis] >= held or axis == "seconds", axis
        for reservation in state.ledger.open_reservations:
            limit, held = state.ledger.limits.get("seconds"), state.ledger.held.get("seconds", 0)
            assert limit is None or reservation.expires <= limit - held

    run(seed, Hostility(), check)


@given(SEEDS)
def test_deciding_changes_nothing_and_repeats(seed):  # I7
    draw = seeded(seed)
    controller = Controller(prices=PRICES)

    def check(state):
        if state.done or state.open:
            return
        before = state.model_dump_json()
        now = draw.uniform(-10, 1e4)
        assert controller.decide(state, now) == controller.decide(state, now)
        assert state.model_dump_json() == before

    drive(controller, random_question(draw), random_budget(draw), draw, Hostility(), check)


@given(SEEDS)
def test_a_run_that_is_stored_between_steps_goes_on_as_if_it_had_not_been(seed):  # I9
    # without a deadline: a clock reading is not stored, so the time until the next one is not counted
    def play(*, store):
        quiet = Hostility(snapshots=False, always_stored=store, clock=False)
        draw, lines = seeded(seed), []

        def check(state):
            if not state.open:
                assert SearchState.model_validate_json(state.model_dump_json()) == state
            lines.append([step.model_dump(exclude={"t", "t_begin", "t_end", "ledger"}) for step in state.trace.steps])

        question, budget = random_question(draw), random_budget(draw)
        budget = budget.model_copy(update={"seconds": None, "tool_calls": budget.tool_calls or 4})
        ran = drive(Controller(prices=PRICES), question, budget, draw, quiet, check)
        return lines, ran.report.answer, ran.report.exit_reason

    assert play(store=True) == play(store=False)


@given(SEEDS)
def test_no_query_is_searched_again(seed):  # I10
    _, ran = run(seed, Hostility())
    searched = [tokens(query) for query in ran.searched]
    for place, query in enumerate(searched):
        assert all(jaccard(query, earlier) < ran.state.config.repeat_from for earlier in searched[:place])


@given(SEEDS)
def test_a_replay_equals_the_trace_bit_for_bit(seed):  # I11
    _, ran = run(seed, Hostility())
    read = Trace.from_jsonl(ran.report.trace.to_jsonl())
    assert read == ran.report.trace
    assert replay(read).differences == ()


@given(SEEDS, SEEDS)
def test_two_runs_in_turns_are_the_same_as_one_after_the_other(left, right):  # I12
    controller = Controller(prices=PRICES)

    def steps(seed):
        draw = seeded(seed)
        state = controller.start(random_question(draw), random_budget(draw), 0.0)
        while not state.done:
            action = controller.begin(state, controller.decide(state, 0.0), 0.0)
            usage = Usage(output_tokens=draw.randint(0, 20))
            controller.observe(state, action, Observation(text="NEXT: x", usage=usage), 1.0)
            yield state
        controller.finish(state, 2.0)

    def last(run):
        return [state.model_dump_json() for state in run][-1]

    alone = [last(steps(left)), last(steps(right))]
    turns = [steps(left), steps(right)]
    together = ["", ""]
    while turns_left := [place for place in (0, 1) if turns[place]]:
        for place in turns_left:
            state = next(turns[place], None)
            if state is None:
                turns[place] = None
            else:
                together[place] = state.model_dump_json()
    assert together == alone


AXES = ("tool_calls", "output_tokens", "llm_calls", "input_tokens")
AMOUNTS = st.dictionaries(st.sampled_from(AXES), st.integers(0, 60))
STEPS = st.tuples(
    AMOUNTS,
    st.sampled_from(["step", "answer"]),
    st.sampled_from(["settle", "unknown", "release", "keep", "grant"]),
    st.dictionaries(st.sampled_from(AXES), st.integers(-5, 60)),
)


@given(st.dictionaries(st.sampled_from(AXES), st.integers(0, 200), min_size=1), st.lists(STEPS, max_size=25))
def test_the_ledger_by_itself_keeps_its_limits(limits, steps):  # I1, I5, I6, I8
    ledger = Ledger(Budget(**limits))
    for amounts, purpose, end, reported in steps:
        before = ledger.left()
        outcome = ledger.reserve(Cost(**amounts), purpose)
        if not isinstance(outcome, Reservation):
            assert ledger.left() == before
            continue
        held = {} if purpose == "answer" else ledger.held
        assert all(ledger.left()[axis] >= held.get(axis, 0) for axis in limits)
        if end == "release":
            ledger.release(outcome.id)
            assert ledger.left() == before
        elif end == "unknown":
            ledger.settle(outcome.id)
            assert ledger.left() == {axis: before[axis] - amounts.get(axis, 0) for axis in limits}
        elif end == "settle":
            usage = Usage(**{axis: min(amount, amounts.get(axis, 0)) for axis, amount in reported.items()})
            ledger.settle(outcome.id, usage)
            assert all(ledger.left()[axis] <= before[axis] for axis in limits)
        elif end == "grant":
            ledger.grant(Cost(**amounts), "test")
            assert len(ledger.grants) > 0
        for use in ledger.usage():
            assert use.spent + use.reserved <= use.limit
        assert ledger.audit_ok
    restored = Ledger.restore(LedgerSnapshot.model_validate_json(ledger.snapshot().model_dump_json()))
    assert restored.left() == ledger.left()
