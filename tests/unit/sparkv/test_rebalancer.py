"""Two pointers, event by event."""

import math

import numpy as np
import pytest

from gainful.errors import InputError
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.planner import plan
from gainful.sparkv.rebalancer import Rebalancer, RebalancerOptions, Span
from gainful.sparkv.run_report import race_report
from gainful.sparkv.unknown import Unknown


def race_of(num_chunks=4, *, chunk_tokens=10, first_token=0, block_tokens=0, deadline_s=math.inf, **options):
    layout = ChunkLayout(num_chunks, chunk_tokens, 100, first_token, block_tokens)
    return Rebalancer(layout, now=0.0, deadline_s=deadline_s, options=RebalancerOptions(**options))


def fetch(race, *chunks, now=1.0):
    """Ask for chunks and let them arrive, in this order."""
    for chunk in chunks:
        assert race.next_fetch(now) == chunk
        race.on_fetched(chunk, now)


def wanted(race, now=0.0):
    """All that the store is asked for now."""
    return list(iter(lambda: race.next_fetch(now), None))


class TestMeeting:
    def test_the_routes_meet_in_the_middle(self):
        race = race_of(4)
        fetch(race, 3, 2)
        race.on_computed(10, 1.5)
        assert race.met() is None
        race.on_computed(20, 2.0)
        assert race.met() == Span(start_token=20, end_token=40, first_chunk=2, end_chunk=4)
        assert race.hand_over(2.0) == Span(20, 40, 2, 4)
        assert (race.state, race.is_open, race.met()) == ("handed_over", False, None)

    def test_an_arrival_can_be_what_makes_them_meet(self):
        race = race_of(2)
        race.on_computed(10, 1.0)
        fetch(race, 1, now=2.0)
        assert race.met() == Span(10, 20, 1, 2)
        assert race.met_s == 2.0

    def test_the_chunk_that_is_being_computed_is_raced_for(self):
        race = race_of(2, block_tokens=5)
        fetch(race, 1)
        race.on_computed(5, 1.0)  # in the middle of chunk 0
        fetch(race, 0)
        # the engine takes over behind its last whole block
        assert race.met() == Span(5, 20, 0, 2)

    def test_the_span_begins_on_a_block(self):
        race = race_of(2, block_tokens=5)
        fetch(race, 1, 0)
        race.on_computed(13, 1.0)
        assert race.met() == Span(10, 20, 1, 2)

    def test_positions_count_from_the_prompts_start(self):
        race = race_of(3, first_token=50)
        fetch(race, 2)
        race.on_computed(70, 1.0)
        assert race.met() == Span(70, 80, 2, 3)

    def test_the_span_shrinks_while_the_engine_goes_on(self):
        race = race_of(4)
        fetch(race, 3, 2, 1)
        race.on_computed(10, 1.0)
        race.on_computed(30, 2.0)
        assert race.met() == Span(30, 40, 3, 4)
        assert race.met_s == 1.0

    def test_computing_may_win(self):
        race = race_of(2)
        assert wanted(race) == [1, 0]
        race.on_computed(20, 1.0)
        assert (race.state, race.met(), race.closed_s) == ("computed", None, 1.0)

    def test_streaming_may_win_before_a_token_is_computed(self):
        race = race_of(2)
        fetch(race, 1, 0)
        assert race.met() == Span(0, 20, 0, 2)

    def test_a_request_without_chunks_is_over_at_once(self):
        race = race_of(0)
        assert (race.state, race.next_fetch(0.0), race.met(), race.can_meet) == ("computed", None, None, False)


class TestFetching:
    def test_the_window_fills_and_refills(self):
        race = race_of(8, window_chunks=3)
        assert wanted(race) == [7, 6, 5]
        race.on_fetched(7, 1.0)
        assert wanted(race) == [4]

    def test_the_window_can_grow_with_the_link(self):
        race = race_of(8, window_chunks=1)
        assert wanted(race) == [7]
        race.window_chunks = 4
        assert wanted(race) == [6, 5, 4]

    def test_arrivals_out_of_order_count_once_they_touch(self):
        race = race_of(4, window_chunks=3)
        assert wanted(race) == [3, 2, 1]
        race.on_computed(10, 1.0)
        race.on_fetched(1, 1.0)
        race.on_fetched(2, 1.0)
        assert race.met() is None
        race.on_fetched(3, 1.0)
        assert race.met() == Span(10, 40, 1, 4)

    def test_nothing_before_the_frontier_is_fetched(self):
        race = race_of(4, window_chunks=4)
        race.on_computed(25, 1.0)
        assert wanted(race) == [3, 2]

    def test_nothing_more_is_fetched_once_they_met(self):
        race = race_of(4)
        race.on_computed(30, 1.0)
        fetch(race, 3)
        assert wanted(race) == []

    def test_the_deadline_ends_fetching_and_keeps_what_is_here(self):
        race = race_of(4, deadline_s=5.0)
        fetch(race, 3)
        assert race.next_fetch(4.9) == 2
        assert race.next_fetch(5.0) is None
        assert race.stopped == "deadline"
        race.on_fetched(2, 5.1)  # too late
        race.on_computed(20, 6.0)
        assert race.met() is None
        race.on_computed(30, 7.0)
        assert race.met() == Span(30, 40, 3, 4)

    def test_a_store_that_never_answers_costs_nothing_but_its_window(self):
        race = race_of(4, deadline_s=1.0)
        assert wanted(race) == [3, 2]
        assert wanted(race, now=2.0) == []
        assert not race.can_meet
        race.on_computed(40, 3.0)
        assert race.state == "computed"
        assert race.unneeded_in_flight() == [2, 3]


class TestFailures:
    def test_a_hole_cuts_off_what_is_before_it(self):
        race = race_of(5, window_chunks=3)
        fetch(race, 4)
        assert wanted(race) == [3, 2, 1]
        race.on_failed(2, 1.0)
        race.on_fetched(1, 1.0)
        race.on_fetched(3, 1.0)
        race.on_computed(10, 1.0)
        assert (race.met(), wanted(race)) == (None, [])
        race.on_computed(30, 2.0)
        assert race.met() == Span(30, 50, 3, 5)

    def test_the_last_chunk_is_left_to_the_engine_and_the_rest_is_streamed(self):
        race = race_of(4)
        assert race.next_fetch(0.0) == 3
        race.on_failed(3, 1.0)
        fetch(race, 2, 1)
        race.on_computed(10, 2.0)
        assert race.met() == Span(10, 30, 1, 3)

    def test_a_failed_chunk_is_never_asked_for_again(self):
        race = race_of(6, max_failures=10)
        seen = []
        while (chunk := race.next_fetch(0.0)) is not None:
            seen.append(chunk)
            race.on_failed(chunk, 0.0)
        assert seen == [5, 4, 3, 2, 1, 0]
        assert not race.can_meet

    def test_after_too_many_failures_nothing_is_fetched(self):
        race = race_of(6, max_failures=1)
        for chunk in (5, 4):
            assert race.next_fetch(0.0) == chunk
            race.on_failed(chunk, 0.0)
        assert race.next_fetch(0.0) is None
        assert (race.stopped, race.can_meet) == ("failures", False)
        race.on_computed(60, 1.0)
        assert race.state == "computed"

    def test_more_staged_below_a_hole_than_above_wins(self):
        race = race_of(6, window_chunks=5)
        assert wanted(race) == [5, 4, 3, 2, 1]
        for chunk in (5, 3, 2, 1):
            race.on_fetched(chunk, 1.0)
        race.on_failed(4, 1.0)  # one above, three below
        race.on_computed(10, 2.0)
        assert race.met() == Span(10, 40, 1, 4)

    def test_the_engine_computes_what_follows_a_shortened_span(self):
        race = race_of(3)
        assert race.next_fetch(0.0) == 2
        race.on_failed(2, 1.0)
        race.on_computed(20, 2.0)
        assert (race.state, race.can_meet, race.next_fetch(2.0)) == ("racing", False, None)
        race.on_computed(30, 3.0)
        assert race.state == "computed"

    def test_an_evicted_staged_chunk_takes_the_offer_back(self):
        race = race_of(4)
        fetch(race, 3, 2)
        race.on_computed(20, 1.0)
        race.on_evicted(2, 1.5)
        assert (race.state, race.met()) == ("racing", None)
        race.on_computed(30, 2.0)
        assert race.met() == Span(30, 40, 3, 4)

    def test_an_evicted_chunk_that_was_not_asked_for_ends_the_way_down(self):
        race = race_of(4)
        race.on_evicted(1, 0.5)
        fetch(race, 3, 2)
        assert wanted(race) == []
        race.on_evicted(1, 0.6)  # told twice
        assert race.evicted_chunks == 1

    def test_an_evicted_chunk_in_flight_may_still_be_reported(self):
        race = race_of(4)
        assert wanted(race) == [3, 2]
        race.on_evicted(2, 0.5)
        race.on_fetched(2, 1.0)
        race.on_fetched(3, 1.0)
        race.on_computed(20, 2.0)
        assert race.met() is None
        race.on_computed(30, 2.0)
        assert race.met() == Span(30, 40, 3, 4)

    def test_a_preemption_puts_the_front_pointer_back(self):
        race = race_of(4)
        fetch(race, 3, 2)
        race.on_computed(20, 1.0)
        race.on_preempted(0, 2.0)
        assert race.met() is None
        fetch(race, 1, 0, now=3.0)
        assert race.met() == Span(0, 40, 0, 4)

    def test_cancelling_ends_it_for_good(self):
        race = race_of(4)
        fetch(race, 3)
        assert race.next_fetch(0.0) == 2
        race.cancel(1.0)
        race.cancel(2.0)
        assert (race.state, race.closed_s, race.can_meet) == ("cancelled", 1.0, False)
        race.on_fetched(2, 3.0)  # a straggler
        race.on_computed(40, 4.0)
        race.on_evicted(3, 5.0)
        assert (race.state, race.next_fetch(5.0), race.met()) == ("cancelled", None, None)


class TestIllegalEvents:
    def test_a_chunk_that_nobody_asked_for(self):
        with pytest.raises(InputError, match="got 1, which next_fetch"):
            race_of(4).on_fetched(1, 0.0)

    @pytest.mark.parametrize("again", ["on_fetched", "on_failed"])
    def test_a_chunk_that_was_reported_before(self, again):
        race = race_of(4)
        fetch(race, 3)
        with pytest.raises(InputError, match=f"{again}: .* reported before"):
            getattr(race, again)(3, 0.0)

    @pytest.mark.parametrize("chunk", [-1, 4, 10**9])
    @pytest.mark.parametrize("event", ["on_fetched", "on_failed", "on_evicted"])
    def test_a_chunk_that_does_not_exist(self, event, chunk):
        with pytest.raises(InputError, match=event):
            getattr(race_of(4), event)(chunk, 0.0)

    def test_computing_does_not_go_back_unsaid(self):
        race = race_of(4)
        race.on_computed(20, 0.0)
        with pytest.raises(InputError, match="use on_preempted"):
            race.on_computed(10, 0.0)

    @pytest.mark.parametrize("position", [9, 21])
    def test_a_preemption_goes_back_and_not_before_the_layout(self, position):
        race = race_of(4, first_token=10)
        race.on_computed(20, 0.0)
        with pytest.raises(InputError, match="expected 10 to 20 tokens"):
            race.on_preempted(position, 0.0)

    def test_nothing_is_handed_over_before_they_meet(self):
        with pytest.raises(InputError, match="got 'racing'"):
            race_of(4).hand_over(0.0)

    def test_nothing_is_handed_over_twice(self):
        race = race_of(1)
        fetch(race, 0)
        race.hand_over(0.0)
        with pytest.raises(InputError, match="got 'handed_over'"):
            race.hand_over(0.0)


class TestReport:
    PLAN = plan(RouteCosts(np.ones(4), np.ones(4), 0.0))

    def test_it_says_what_was_predicted_and_what_happened(self):
        race = race_of(4)
        race.on_computed(10, 1.0)
        fetch(race, 3, 2, now=2.0)
        assert race.next_fetch(2.0) == 1
        race.on_computed(20, 2.5)
        race.hand_over(3.0)
        report = race_report(race, self.PLAN, now=9.0)
        assert (report.state, report.seconds, report.met_after_seconds) == ("handed_over", 3.0, 2.5)
        assert (report.predicted_seconds, report.bound_seconds, report.over_bound) == (2.0, 2.0, 1.5)
        assert (report.computed_tokens, report.streamed_tokens, report.duplicate_tokens) == (20, 20, 0)
        assert (report.fetched_bytes, report.fetched_chunks, report.in_flight_at_close) == (200, 2, 1)

    def test_stragglers_are_duplicate_work(self):
        race = race_of(2)
        assert wanted(race) == [1, 0]
        race.on_computed(20, 1.0)
        race.on_fetched(1, 2.0)
        assert race_report(race, None, now=2.0).duplicate_tokens == 10

    def test_dropped_tokens_were_computed_too(self):
        race = race_of(4)
        race.on_computed(20, 1.0)
        race.on_preempted(5, 1.0)
        race.on_computed(40, 2.0)
        assert race_report(race, None, now=2.0).computed_tokens == 40 + 15

    def test_an_open_race_counts_up_to_now(self):
        report = race_report(race_of(4), plan(Unknown("no_bandwidth_samples"), num_chunks=4), now=7.0)
        assert (report.state, report.seconds, report.met_after_seconds) == ("racing", 7.0, None)
        assert report.predicted_seconds is report.bound_seconds is report.over_bound is None

    def test_it_travels_as_json(self):
        report = race_report(race_of(4), self.PLAN, now=1.0)
        assert type(report).model_validate_json(report.model_dump_json()) == report
