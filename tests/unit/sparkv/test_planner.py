"""Splits, bounds and choices, worked out by hand."""

import numpy as np
import pytest

from gainful.errors import InputError
from gainful.sparkv import plan as public_plan
from gainful.sparkv.bound import closed_form_split, lower_bound_s
from gainful.sparkv.choices import CodecCandidate, IoDemand, choose_codec, most_valuable
from gainful.sparkv.costs import ComputeModel, RouteCosts
from gainful.sparkv.planner import PlannerOptions, Prediction, plan
from gainful.sparkv.unknown import Unknown

EAGER = PlannerOptions(min_gain_ratio=0.0, min_gain_chunks=0.0)


def costs(compute, stream, round_trip_s=0.0):
    return RouteCosts(np.asarray(compute, dtype=float), np.asarray(stream, dtype=float), round_trip_s)


class TestPlan:
    def test_equal_routes_split_in_the_middle(self):
        found = plan(costs([1.0] * 10, [1.0] * 10))
        # either route alone 10 s; five chunks each 5 s, which saves 5 s > max(10 % of 10 s, 2 chunks of 1 s)
        assert (found.split, found.route, found.reason) == (5, "hybrid", "hybrid_gains")
        prediction = found.prediction
        assert prediction.seconds == prediction.compute_seconds == prediction.stream_seconds == 5.0
        assert prediction.compute_only_seconds == prediction.stream_only_seconds == 10.0
        assert prediction.bound_seconds == 5.0
        assert prediction.over_bound == 1.0

    def test_round_trip_moves_the_split_back(self):
        # C(m) = m, S(m) = 2 + (10 - m): equal at m = 6
        found = plan(costs([1.0] * 10, [1.0] * 10, round_trip_s=2.0))
        assert (found.split, found.prediction.seconds) == (6, 6.0)

    def test_late_chunks_are_streamed_since_they_cost_most(self):
        # C = 0 1 3 6 10 15, S = 15 12 9 6 3 0: they cross at three chunks
        found = plan(costs([1, 2, 3, 4, 5], [3] * 5), options=EAGER)
        assert (found.split, found.prediction.seconds) == (3, 6.0)

    def test_a_small_gain_is_not_worth_it(self):
        # 100 s of compute against 10.99 s of stream: the best split takes 9.9 s, which saves just under 10 %
        found = plan(costs([10.0] * 10, [1.099] * 10), options=PlannerOptions(min_gain_chunks=0.0))
        assert (found.split, found.route, found.reason) == (0, "stream", "gain_too_small")
        assert found.declined
        assert found.prediction.seconds == pytest.approx(10.99)
        assert found.prediction.hybrid_seconds == pytest.approx(10.0)
        assert found.prediction.hybrid_split == 1

    def test_a_gain_of_less_than_two_chunks_is_not_worth_it(self):
        # three chunks of 1 s: alone 3 s, split 2 s, which saves one chunk
        found = plan(costs([1.0] * 3, [1.0] * 3))
        assert (found.route, found.reason) == ("compute", "gain_too_small")
        one_is_enough = PlannerOptions(min_gain_chunks=1.0)
        assert plan(costs([1.0] * 3, [1.0] * 3), options=one_is_enough).route == "hybrid"

    def test_nothing_to_stream_is_plain_prefill(self):
        found = plan(costs([], []))
        assert (found.split, found.route, found.reason) == (0, "compute", "nothing_to_stream")
        assert found.prediction == Prediction(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)
        assert found.prediction.over_bound == 1.0

    def test_a_dead_link_leaves_plain_prefill(self):
        found = plan(costs([1.0] * 4, [np.inf] * 4))
        assert (found.split, found.route) == (4, "compute")
        assert found.prediction.bound_seconds == found.prediction.seconds == 4.0

    def test_a_free_link_leaves_nothing_to_compute(self):
        found = plan(costs([1.0] * 4, [0.0] * 4))
        assert (found.split, found.route, found.prediction.seconds) == (0, "stream", 0.0)

    @pytest.mark.parametrize("reason", ["no_compute_samples", "no_bandwidth_samples", "no_round_trip_samples"])
    def test_without_measurements_it_declines_and_says_which(self, reason):
        found = plan(Unknown(reason), num_chunks=7)
        assert (found.split, found.num_chunks, found.route, found.reason) == (7, 7, "compute", reason)
        assert found.prediction == Unknown(reason)

    def test_the_package_offers_it(self):
        assert public_plan is plan


class TestBound:
    def test_a_chunk_may_be_divided(self):
        # one chunk of 2 s on either route: half of it on each takes 1 s, which no real assignment can
        assert lower_bound_s(costs([2.0], [2.0])) == 1.0

    def test_what_streams_well_is_streamed_wherever_it_stands(self):
        # ratios 1, 4 and 1/4: compute the last, stream the middle, divide the first: 1 + x = 1 + 4 - 4 x at ...
        found = lower_bound_s(costs([4.0, 4.0, 1.0], [4.0, 1.0, 4.0]))
        # computed 1 + 4 x, streamed 1 + 4 (1 - x): x = 1/2, 3 s
        assert found == pytest.approx(3.0)

    def test_streaming_nothing_pays_no_round_trip(self):
        assert lower_bound_s(costs([1.0, 1.0], [1.0, 1.0], round_trip_s=5.0)) == 2.0

    def test_chunks_that_never_arrive_are_computed(self):
        # the first must be computed, 3 s; meanwhile the other two arrive
        assert lower_bound_s(costs([3.0, 2.0, 2.0], [np.inf, 1.0, 1.0])) == 3.0

    def test_chunks_that_are_free_on_both_routes_change_nothing(self):
        assert lower_bound_s(costs([0.0, 2.0], [0.0, 2.0])) == 1.0


class TestClosedForm:
    def test_linear_limit_is_the_harmonic_one(self):
        # 1,000 tokens, 10 ms to compute and 5 ms to stream each: T = 10 * 5 / (10 + 5) s
        tokens, seconds = closed_form_split(1000, 0.01, 0.0, 0.005, 0.0)
        assert seconds == pytest.approx(10.0 * 5.0 / 15.0)
        assert tokens == pytest.approx(seconds / 0.01)

    def test_both_routes_end_together(self):
        tokens, seconds = closed_form_split(16384, 8e-4, 2.6e-8, 4.1e-4, 0.05)
        assert seconds == pytest.approx(0.05 + (16384 - tokens) * 4.1e-4)

    def test_the_planner_is_within_a_chunk_of_it(self):
        tokens_per_chunk, count, alpha, beta, stream, round_trip = 16, 1024, 8e-4, 2.6e-8, 4.1e-4, 0.05
        starts = tokens_per_chunk * np.arange(count)
        compute = tokens_per_chunk * (alpha + beta * (starts + tokens_per_chunk / 2))
        found = plan(costs(compute, [tokens_per_chunk * stream] * count, round_trip))
        tokens, seconds = closed_form_split(16384, alpha, beta, stream, round_trip)
        assert abs(found.split * tokens_per_chunk - tokens) <= tokens_per_chunk
        assert seconds <= found.prediction.seconds <= seconds + compute.max()
        assert found.prediction.bound_seconds == pytest.approx(seconds, rel=1e-5)

    def test_a_round_trip_longer_than_all_computes_all(self):
        assert closed_form_split(10, 0.1, 0.0, 0.1, 100.0) == (10.0, 1.0)

    def test_two_free_routes_have_no_split(self):
        with pytest.raises(InputError, match="alpha \\+ s > 0"):
            closed_form_split(10, 0.0, 0.0, 0.0, 0.0)


class TestCodecChoice:
    CANDIDATES = (
        CodecCandidate("raw", costs([0.25] * 32, [0.25] * 32)),  # 4 s, half and half
        CodecCandidate("int8", costs([0.25] * 32, [0.125] * 32)),  # 2.75 s: 10 computed, 22 streamed
        CodecCandidate("int4", costs([0.25] * 32, [0.0625] * 32)),  # 2 s alone; mixed only 0.375 s less
    )

    @pytest.mark.parametrize(
        ("target", "name", "meets"),
        [(4.0, "raw", True), (3.9, "int8", True), (2.0, "int4", True), (0.1, "int4", False)],
    )
    def test_least_lossy_that_meets_the_target(self, target, name, meets):
        choice = choose_codec(self.CANDIDATES, target)
        assert (choice.name, choice.meets_target) == (name, meets)

    def test_what_follows_either_way_counts(self):
        assert choose_codec(self.CANDIDATES, 4.0, tail_seconds=0.5).name == "int8"

    def test_no_target_takes_the_least_lossy(self):
        assert choose_codec(self.CANDIDATES, float("inf")).name == "raw"

    def test_of_equally_fast_ones_the_less_lossy(self):
        twice = [CodecCandidate("raw", self.CANDIDATES[0].costs), CodecCandidate("int8", self.CANDIDATES[0].costs)]
        assert choose_codec(twice, 0.0).name == "raw"

    def test_without_predictions_the_first_is_taken_and_promises_nothing(self):
        unknown = Unknown("no_bandwidth_samples")
        choice = choose_codec([CodecCandidate("raw", unknown), CodecCandidate("int8", unknown)], float("inf"))
        assert (choice.name, choice.meets_target, choice.plan.reason) == ("raw", False, "no_bandwidth_samples")

    def test_a_prediction_is_preferred_to_none(self):
        choice = choose_codec([CodecCandidate("raw", Unknown("no_bandwidth_samples")), self.CANDIDATES[1]], 0.0)
        assert choice.name == "int8"

    def test_no_candidate_is_refused(self):
        with pytest.raises(InputError, match="at least one candidate"):
            choose_codec([], 1.0)


class TestSharingTheLink:
    MODEL = ComputeModel(step_seconds=0.0, token_seconds=1e-3, pair_seconds=1e-6, num_samples=8, relative_error=0.0)

    def test_the_chunk_that_saves_most_compute_goes_first(self):
        # (1e-3 + 1e-6 * 4000) / 1e-3 = 5 against 2 for the shorter one
        short, long = IoDemand("short", 1000, 1e-3), IoDemand("long", 4000, 1e-3)
        assert most_valuable([short, long], self.MODEL) is long

    def test_a_dear_chunk_waits(self):
        # 5 ms over 10 ms against 2 ms over 1 ms
        assert (
            most_valuable([IoDemand("long", 4000, 1e-2), IoDemand("short", 1000, 1e-3)], self.MODEL).request_id
            == "short"
        )

    def test_free_io_goes_before_all_and_ties_to_the_earlier(self):
        demands = [IoDemand("a", 4000, 1e-3), IoDemand("b", 0, 0.0), IoDemand("c", 0, 0.0)]
        assert most_valuable(demands, self.MODEL).request_id == "b"

    def test_nobody_wants_it(self):
        assert most_valuable([], self.MODEL) is None
