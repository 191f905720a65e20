"""Two pointers under any order of events, and under any rates."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.rebalancer import Rebalancer, RebalancerOptions
from gainful.sparkv.run_report import race_report
from gainful.sparkv.simulate import Situation, hindsight_s, race
from gainful.sparkv.traces import RateTrace

BLOCK, CHUNK = 4, 8


class AnyOrder(RuleBasedStateMachine):
    """Legal events in any order; beside the machine stands what really happened."""

    @initialize(
        num_chunks=st.integers(0, 10),
        first_block=st.integers(0, 3),
        window=st.integers(1, 5),
        failures=st.integers(0, 4),
        deadline=st.sampled_from([10.0, math.inf]),
    )
    def begin(self, num_chunks, first_block, window, failures, deadline):
        self.layout = ChunkLayout(num_chunks, CHUNK, 100, first_token=first_block * BLOCK, block_tokens=BLOCK)
        options = RebalancerOptions(window_chunks=window, max_failures=failures)
        self.race = Rebalancer(self.layout, now=0.0, deadline_s=deadline, options=options)
        self.now = 0.0
        self.in_flight, self.asked, self.here, self.gone = set(), [], set(), set()
        self.computed = self.layout.first_token
        self.handed_over = None

    @rule(seconds=st.floats(0.0, 3.0))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        was_open = self.race.is_open
        chunk = self.race.next_fetch(self.now)
        if chunk is not None:
            assert was_open
            assert chunk not in self.asked
            assert not self.asked or chunk < self.asked[-1]
            assert len(self.in_flight) < self.race.window_chunks
            assert self.now < self.race.deadline_s
            assert self.layout.start_of(chunk) + CHUNK > self.computed
            assert chunk not in self.gone
            self.asked.append(chunk)
            self.in_flight.add(chunk)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def arrive(self, data):
        chunk = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.in_flight.remove(chunk)
        self.here.add(chunk)
        self.race.on_fetched(chunk, self.now)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def fail(self, data):
        chunk = data.draw(st.sampled_from(sorted(self.in_flight)))
        self.in_flight.remove(chunk)
        self.gone.add(chunk)
        self.race.on_failed(chunk, self.now)

    @precondition(lambda self: self.layout.num_chunks)
    @rule(data=st.data())
    def evict(self, data):
        chunk = data.draw(st.integers(0, self.layout.num_chunks - 1))
        self.gone.add(chunk)
        self.race.on_evicted(chunk, self.now)

    @rule(tokens=st.integers(0, 2 * CHUNK))
    def compute(self, tokens):
        self.computed = min(self.computed + tokens, max(self.layout.end_token, self.computed))
        self.race.on_computed(self.computed, self.now)

    @precondition(lambda self: self.race.is_open)
    @rule(share=st.floats(0.0, 1.0))
    def preempt(self, share):
        first = self.layout.first_token
        self.computed = first + int((self.computed - first) * share)
        self.race.on_preempted(self.computed, self.now)

    @precondition(lambda self: self.race.met())
    @rule()
    def take(self):
        span = self.race.met()
        assert self.race.hand_over(self.now) == span
        self.handed_over = span

    @rule(chance=st.integers(0, 9))
    def cancel(self, chance):
        if chance == 0:
            self.race.cancel(self.now)

    @invariant()
    def nothing_is_offered_that_is_not_here(self):
        span = self.race.met()
        if span is None:
            return
        assert span.start_token % BLOCK == span.end_token % BLOCK == 0
        # no token between what is computed and the span, and none of the span's missing
        assert span.start_token <= self.computed < span.end_token
        assert self.computed - span.start_token < BLOCK
        needed = set(range(span.first_chunk, span.end_chunk))
        assert self.layout.start_of(span.first_chunk) <= span.start_token
        assert self.layout.start_of(span.end_chunk) == span.end_token
        assert needed <= self.here - self.gone

    @invariant()
    def the_state_follows_from_the_pointers(self):
        race = self.race
        if self.computed >= self.layout.end_token:
            assert not race.is_open
        assert race.computed_tokens == self.computed
        assert (race.state == "handed_over") == (self.handed_over is not None)
        assert math.isnan(race.closed_s) == race.is_open
        if race.met():
            assert race.can_meet

    @invariant()
    def who_cannot_meet_offers_and_asks_nothing(self):
        if not self.race.can_meet:
            assert self.race.met() is None
            assert self.race.next_fetch(self.now) is None

    @invariant()
    def the_report_adds_up(self):
        report = race_report(self.race, None, self.now)
        assert report.fetched_chunks == len(self.here | (set(self.asked) - self.in_flight)) - report.failed_chunks
        assert report.streamed_tokens + report.duplicate_tokens >= report.fetched_chunks * CHUNK
        assert report.seconds >= 0.0

    def teardown(self):
        """From anywhere the engine alone comes to the end: nothing hangs."""
        if hasattr(self, "race") and self.race.is_open:
            self.race.on_computed(self.layout.end_token, self.now)
            assert self.race.state == "computed"


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@st.composite
def traces(draw, *, ever_zero):
    """A few changes of rate; the last rate is positive unless it may die."""
    gaps = draw(st.lists(st.floats(0.01, 3.0), max_size=6))
    rates = draw(st.lists(st.sampled_from([0.0, 0.05, 0.3, 1.0, 4.0]), min_size=len(gaps), max_size=len(gaps)))
    last = draw(st.sampled_from([0.0, 0.1, 1.0] if ever_zero else [0.1, 1.0]))
    return RateTrace(np.concatenate(([0.0], np.cumsum(gaps))), [*rates, last])


@st.composite
def situations(draw):
    """Chunks of 1,000,000 bytes, some much dearer to compute than others, under any link and engine."""
    seconds = draw(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=16))
    layout = ChunkLayout(len(seconds), CHUNK, 1_000_000)
    costs = RouteCosts(np.array(seconds), np.ones(len(seconds)), draw(st.floats(0.0, 0.5)))
    link = draw(traces(ever_zero=True))
    link = RateTrace(link.times_s, link.rates * 1e6)
    return Situation(layout, costs, link, draw(traces(ever_zero=False)), draw(st.sampled_from([0.0, 0.1])))


@given(situations())
@settings(deadline=None)
def test_with_a_full_window_the_race_is_the_best_split_in_hindsight(situation):
    raced = race(situation, window_chunks=situation.layout.num_chunks)
    assert math.isfinite(raced.seconds)
    assert raced.seconds <= hindsight_s(situation) * (1 + 1e-9) + 1e-9


@given(situations())
@settings(deadline=None)
def test_an_engine_that_cannot_leave_a_step_is_one_step_behind(situation):
    raced = race(situation, window_chunks=situation.layout.num_chunks, interruptible=False)
    ends = situation.compute_ends()
    best = hindsight_s(situation)
    # the step that runs at the best moment ends at the first end of a step from there on
    assert raced.seconds <= ends[np.searchsorted(ends, best - 1e-9)] + 1e-9


@given(situations(), st.integers(1, 4))
@settings(deadline=None)
def test_with_any_window_it_never_hangs_and_never_loses_to_plain_prefill(situation, window):
    raced = race(situation, window_chunks=window)
    assert raced.seconds <= situation.compute_ends()[-1] + 1e-9


@given(situations(), st.integers(1, 4))
@settings(deadline=None)
def test_both_frontiers_are_monotone_and_meet_without_a_gap(situation, window):
    raced = race(situation, window_chunks=window)
    times, computed = zip(*raced.computed, strict=True)
    assert list(times) == sorted(times)
    assert list(computed) == sorted(computed)
    staged = [chunk for _, chunk in raced.staged]
    assert staged == sorted(staged, reverse=True)
    assert raced.met_chunk >= staged[-1] or raced.met_chunk == situation.layout.num_chunks
