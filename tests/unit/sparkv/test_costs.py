"""What a chunk costs on either route, learnt from measurements; values worked out by hand."""

import json
import math
from itertools import chain, combinations

import numpy as np
import pytest

from gainful.errors import InputError, ShapeError
from gainful.sparkv.calibration import MAX_SAMPLES, Calibration, calibration_path, load_calibration
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import MIN_SAMPLES, ComputeModel, PrefillSample, RouteCosts, fit_compute, route_costs
from gainful.sparkv.link import LinkEstimate, LinkEstimator, LinkOptions, window_chunks
from gainful.sparkv.nnls import nnls
from gainful.sparkv.unknown import Unknown

MODEL = ComputeModel(step_seconds=0.5, token_seconds=0.01, pair_seconds=0.001, num_samples=9, relative_error=0.0)


def measured(kappa=0.005, alpha=4e-4, beta=7e-8, *, tokens=(64, 128, 256, 512), positions=(0, 512, 2048, 8192)):
    """Exact steps of a machine with these coefficients."""
    return [
        PrefillSample(num_tokens=n, position=p, seconds=kappa + alpha * n + beta * n * (p + n / 2))
        for n in tokens
        for p in positions
    ]


class TestComputeModel:
    def test_chunks_cost_what_the_formula_says(self):
        layout = ChunkLayout(num_chunks=2, chunk_tokens=10, chunk_bytes=0, first_token=20)
        # 0.5 + 0.01 * 10 + 0.001 * 10 * (20 + 5) = 0.85; the next one stands 10 tokens later: 0.95
        np.testing.assert_allclose(MODEL.chunk_seconds(layout), [0.85, 0.95])

    def test_a_step_of_many_chunks_pays_its_fixed_cost_once(self):
        layout = ChunkLayout(num_chunks=4, chunk_tokens=10, chunk_bytes=0)
        whole = MODEL.seconds(num_tokens=40, position=0)
        assert MODEL.chunk_seconds(layout, step_tokens=40).sum() == pytest.approx(whole)

    def test_steps_shorter_than_a_chunk_change_nothing(self):
        layout = ChunkLayout(num_chunks=1, chunk_tokens=10, chunk_bytes=0)
        assert MODEL.chunk_seconds(layout, step_tokens=5) == MODEL.chunk_seconds(layout)

    def test_the_next_token_costs_alpha_and_beta_times_its_position(self):
        assert MODEL.marginal_seconds(100) == pytest.approx(0.11)


class TestFitting:
    def test_exact_measurements_give_back_their_coefficients(self):
        model = fit_compute(measured())
        found = (model.step_seconds, model.token_seconds, model.pair_seconds)
        np.testing.assert_allclose(found, (0.005, 4e-4, 7e-8), rtol=1e-8)
        assert model.relative_error < 1e-9
        assert model.num_samples == 16

    def test_a_coefficient_that_would_be_negative_is_zero(self):
        samples = [
            PrefillSample(num_tokens=n, position=p, seconds=1e-3 * n - 2e-9 * n * (p + n / 2))
            for n in (64, 128, 256)
            for p in (0, 4096, 8192)
        ]
        assert fit_compute(samples).pair_seconds == 0.0

    def test_steps_of_one_length_still_predict_steps_of_that_length(self):
        samples = measured(tokens=(256,), positions=range(0, 4096, 256))
        predicted = fit_compute(samples).seconds(256, 2048)
        assert predicted == pytest.approx(0.005 + 4e-4 * 256 + 7e-8 * 256 * (2048 + 128))

    def test_one_step_with_a_compilation_in_it_hardly_matters(self):
        good = measured()
        bad = PrefillSample(num_tokens=128, position=512, seconds=60.0)
        ratio = fit_compute([*good, bad]).seconds(256, 4096) / fit_compute(good).seconds(256, 4096)
        assert 0.95 < ratio < 1.05

    @pytest.mark.parametrize("count", [0, 1, MIN_SAMPLES - 1])
    def test_too_few_steps_are_not_a_model(self, count):
        model = fit_compute(measured()[:count])
        assert model == Unknown("no_compute_samples", f"{count} of {MIN_SAMPLES} measured prefill steps")

    def test_what_is_unknown_is_no_number(self):
        with pytest.raises(TypeError, match="no_compute_samples"):
            float(fit_compute([]))
        with pytest.raises(TypeError, match="is no number"):
            bool(fit_compute([]))

    def test_unknown_refuses_reasons_of_its_own(self):
        with pytest.raises(InputError, match="did you mean 'no_compute_samples'"):
            Unknown("no_compute_sample")


class TestNonNegativeLeastSquares:
    @pytest.mark.parametrize("seed", range(20))
    def test_nothing_feasible_is_better(self, seed):
        draw = np.random.default_rng(seed)
        matrix, target = draw.normal(size=(12, 3)), draw.normal(size=12)
        best = nnls(matrix, target)
        error = np.sum((matrix @ best - target) ** 2)
        others = np.abs(draw.normal(size=(2000, 3))) * draw.integers(0, 2, size=(2000, 3))
        assert np.all(best >= 0)
        assert error <= np.sum((others @ matrix.T - target) ** 2, axis=1).min() + 1e-12

    @pytest.mark.parametrize("seed", range(20))
    def test_optimality_conditions_hold(self, seed):
        draw = np.random.default_rng(100 + seed)
        matrix, target = draw.normal(size=(9, 3)), draw.normal(size=9)
        best = nnls(matrix, target)
        gradient = matrix.T @ (matrix @ best - target)
        # no descent along a coefficient that may grow, none at all along one that may do both
        assert np.all(gradient >= -1e-9)
        np.testing.assert_allclose(gradient[best > 0], 0.0, atol=1e-9)

    def test_equal_columns_share_one_coefficient(self):
        matrix = np.ones((5, 2))
        assert nnls(matrix, np.full(5, 3.0)).tolist() == pytest.approx([3.0, 0.0])

    def test_columns_of_very_different_size_are_told_apart(self):
        matrix = np.array([[1.0, 1e9], [1.0, 2e9], [1.0, 5e9]])
        np.testing.assert_allclose(nnls(matrix, matrix @ [2.0, 3e-9]), [2.0, 3e-9])

    def test_all_negative_targets_give_zero(self):
        assert nnls(np.eye(3), np.full(3, -1.0)).tolist() == [0.0, 0.0, 0.0]

    @pytest.mark.parametrize(("rows", "columns", "targets"), [(3, 5, 3), (3, 2, 4)])
    def test_wrong_shapes_are_refused(self, rows, columns, targets):
        with pytest.raises(ShapeError, match="nnls: expected"):
            nnls(np.ones((rows, columns)), np.ones(targets))


class TestLink:
    def test_before_any_sample_it_says_so(self):
        assert LinkEstimator().estimate().reason == "no_bandwidth_samples"

    def test_bandwidth_alone_is_not_enough(self):
        link = LinkEstimator(LinkOptions(min_samples=1))
        link.observe_transfer(100, 1.0)
        assert link.estimate().reason == "no_round_trip_samples"

    def test_average_is_bytes_over_seconds_discounted_by_time(self):
        link = LinkEstimator(LinkOptions(half_life_s=1.0))
        link.observe_transfer(100, 1.0)
        link.observe_transfer(400, 1.0)
        link.observe_round_trip(0.03)
        # the first second weighs half: (50 + 400) / (0.5 + 1)
        assert link.estimate().bytes_per_second == pytest.approx(300.0)
        assert link.estimate().round_trip_s == 0.03

    def test_low_estimate_is_a_quantile_and_never_above_the_average(self):
        link = LinkEstimator(LinkOptions(low_quantile=0.0))
        for num_bytes in (500, 100, 900):
            link.observe_transfer(num_bytes, 1.0)
        link.observe_round_trip(0.0)
        assert link.estimate().low_bytes_per_second == 100.0
        slowing = LinkEstimator(LinkOptions(half_life_s=0.01, low_quantile=1.0))
        for num_bytes in (900, 100):
            slowing.observe_transfer(num_bytes, 1.0)
        slowing.observe_round_trip(0.0)
        found = slowing.estimate()
        assert found.low_bytes_per_second == found.bytes_per_second == pytest.approx(100.0)

    def test_the_high_estimate_remembers_the_link_before_it_fell(self):
        link = LinkEstimator(LinkOptions(half_life_s=0.1))
        for num_bytes in (900, 900, *[100] * 8):
            link.observe_transfer(num_bytes, 1.0)
        link.observe_round_trip(0.0)
        found = link.estimate()
        assert (found.bytes_per_second, found.high_bytes_per_second) == (pytest.approx(100.0, rel=0.01), 900.0)

    def test_a_transfer_that_was_given_up_shows_the_outage(self):
        link = LinkEstimator()
        link.observe_transfer(10**8, 1.0)
        link.observe_transfer(0, 30.0)
        link.observe_round_trip(0.0)
        assert link.estimate().bytes_per_second < 10**8 / 30

    @pytest.mark.parametrize(("num_bytes", "seconds"), [(-1, 1.0), (1, 0.0), (1, float("nan")), (1, float("inf"))])
    def test_impossible_transfers_are_refused(self, num_bytes, seconds):
        with pytest.raises(InputError, match="observe_transfer"):
            LinkEstimator().observe_transfer(num_bytes, seconds)

    def test_impossible_round_trips_are_refused(self):
        with pytest.raises(InputError, match="observe_round_trip"):
            LinkEstimator().observe_round_trip(-0.1)

    @pytest.mark.parametrize(("low", "high"), [(200.0, 300.0), (50.0, 60.0), (-1.0, 100.0), (50.0, math.inf)])
    def test_an_estimate_must_be_possible(self, low, high):
        with pytest.raises(InputError, match="0 <= low <= bandwidth <= high"):
            LinkEstimate(100.0, low, high, 0.0, 1)

    def test_window_covers_twice_what_fits_into_a_round_trip(self):
        link = LinkEstimate(
            1000.0, low_bytes_per_second=1.0, high_bytes_per_second=1e4, round_trip_s=0.1, num_samples=1
        )
        # 100 bytes fit into the round trip: 2 * 100 / 25 = 8 chunks, and one that is arriving
        assert window_chunks(link, chunk_bytes=25) == 9
        assert window_chunks(link, chunk_bytes=10**6) == 2
        assert window_chunks(Unknown("no_bandwidth_samples"), chunk_bytes=25) == 2


class TestRouteCosts:
    LINK = LinkEstimate(100.0, low_bytes_per_second=50.0, high_bytes_per_second=300.0, round_trip_s=0.2, num_samples=3)
    LAYOUT = ChunkLayout(num_chunks=2, chunk_tokens=10, chunk_bytes=30)

    def test_streaming_costs_bytes_over_bandwidth_and_decoding(self):
        costs = route_costs(self.LAYOUT, MODEL, self.LINK, decode_seconds=0.05)
        np.testing.assert_allclose(costs.stream_s, [0.35, 0.35])
        assert costs.round_trip_s == 0.2

    @pytest.mark.parametrize(("bandwidth", "seconds"), [("low", 0.6), ("expected", 0.3), ("high", 0.1)])
    def test_caution_and_hope_take_another_bandwidth(self, bandwidth, seconds):
        costs = route_costs(self.LAYOUT, MODEL, self.LINK, bandwidth=bandwidth)
        np.testing.assert_allclose(costs.stream_s, [seconds, seconds])

    def test_every_chunk_may_have_its_own_bytes(self):
        layout = ChunkLayout(2, 10, np.array([10, 40], dtype=np.int64))
        np.testing.assert_allclose(route_costs(layout, MODEL, self.LINK).stream_s, [0.1, 0.4])

    def test_a_dead_link_takes_for_ever(self):
        dead = LinkEstimate(0.0, 0.0, 0.0, 0.0, 2)
        assert np.isinf(route_costs(self.LAYOUT, MODEL, dead).stream_s).all()

    def test_what_is_unknown_stays_unknown(self):
        no_compute, no_link = Unknown("no_compute_samples"), Unknown("no_bandwidth_samples")
        assert route_costs(self.LAYOUT, no_compute, no_link) is no_compute
        assert route_costs(self.LAYOUT, MODEL, no_link) is no_link

    @pytest.mark.parametrize(
        ("compute", "stream", "round_trip"),
        [
            ([1.0], [1.0, 2.0], 0.0),
            ([-1.0], [1.0], 0.0),
            ([1.0], [np.nan], 0.0),
            ([np.inf], [1.0], 0.0),
            ([1.0], [1.0], -1.0),
        ],
    )
    def test_impossible_seconds_are_refused(self, compute, stream, round_trip):
        with pytest.raises(InputError, match="RouteCosts"):
            RouteCosts(np.array(compute), np.array(stream), round_trip)


class TestLayout:
    def test_positions_begin_behind_what_is_cached(self):
        layout = ChunkLayout(3, 256, 1000, first_token=512, block_tokens=128)
        assert layout.positions().tolist() == [512.0, 768.0, 1024.0]
        assert (layout.start_of(2), layout.end_token, layout.bytes_of(1)) == (1024, 1280, 1000)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"num_chunks": -1},
            {"num_chunks": 10**9},
            {"chunk_tokens": 0},
            {"chunk_tokens": 100, "block_tokens": 64},
            {"first_token": 100, "block_tokens": 128},
            {"first_token": -128},
            {"block_tokens": -1},
            {"chunk_bytes": -1},
            {"chunk_bytes": np.array([1, 2], dtype=np.int64)},
            {"chunk_bytes": np.array([1.0, 2.0, 3.0])},
            {"chunk_bytes": np.array([1, -2, 3], dtype=np.int64)},
        ],
    )
    def test_impossible_layouts_are_refused(self, wrong):
        with pytest.raises(InputError, match="ChunkLayout"):
            ChunkLayout(**{"num_chunks": 3, "chunk_tokens": 128, "chunk_bytes": 10, **wrong})


class TestCalibration:
    def test_saved_steps_give_the_same_model_when_read(self, tmp_path):
        calibration = Calibration("org/model", "cpu")
        for sample in measured():
            calibration.observe(sample)
        calibration.save(tmp_path)
        read = load_calibration(tmp_path, "org/model", "cpu")
        assert read.samples == calibration.samples
        assert read.fitted == calibration.model()

    def test_without_a_file_nothing_is_known(self, tmp_path):
        assert isinstance(load_calibration(tmp_path, "m", "d").model(), Unknown)

    def test_the_window_forgets_the_oldest_so_the_model_follows_the_machine(self):
        calibration = Calibration("m", "d")
        for sample in chain(measured(alpha=4e-4), measured(alpha=8e-4) * (MAX_SAMPLES // 16)):
            calibration.observe(sample)
        assert len(calibration.samples) == MAX_SAMPLES
        assert calibration.model().token_seconds == pytest.approx(8e-4)

    def test_fitting_waits_for_enough_new_steps(self):
        calibration = Calibration("m", "d", refit_every=4)
        for sample in measured():
            calibration.observe(sample)
        first = calibration.model()
        for sample in measured(alpha=8e-4)[:3]:
            calibration.observe(sample)
        assert calibration.model() is first
        calibration.observe(measured()[0])
        assert calibration.model() is not first
        assert calibration.fitted is calibration.model()

    def test_pairs_do_not_share_a_file(self, tmp_path):
        names = [("a", "bc"), ("ab", "c"), ("a/b", "c"), ("a", "b")]
        paths = {calibration_path(tmp_path, *pair) for pair in names}
        assert len(paths) == len(names)
        assert {path.parent for path in paths} == {tmp_path}

    @pytest.mark.parametrize(
        "damage",
        [
            lambda text: text[: len(text) // 2],
            lambda text: text.replace('"seconds": ', '"seconds": -'),
            lambda text: text.replace('"version": 1', '"version": 2'),
            lambda text: text.replace('"num_tokens": 64', '"num_tokens": "64"'),
            lambda text: text.replace('"model": "m"', '"model": "other"'),
            lambda text: json.dumps(json.loads(text) | {"more": 1}),
            lambda text: json.dumps(json.loads(text) | {"samples": json.loads(text)["samples"] * 17}),
            lambda text: text + " " * (1 << 20),
            lambda text: "",
        ],
    )
    def test_a_damaged_file_is_refused_with_what_to_do(self, tmp_path, damage):
        calibration = Calibration("m", "d")
        for sample in measured():
            calibration.observe(sample)
        path = calibration.save(tmp_path)
        path.write_text(damage(path.read_text()))
        with pytest.raises(InputError, match="delete it"):
            load_calibration(tmp_path, "m", "d")

    def test_a_write_that_fails_leaves_the_old_file_and_no_litter(self, tmp_path, monkeypatch):
        calibration = Calibration("m", "d")
        path = calibration.save(tmp_path)
        before = path.read_bytes()
        calibration.observe(measured()[0])

        def full(*_):
            raise OSError("no space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            calibration.save(tmp_path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_subsets_are_all_looked_at():
    """Each of the eight sets of positive coefficients is the answer to some problem."""
    seen = set()
    for subset in chain.from_iterable(combinations(range(3), size) for size in range(4)):
        wanted = np.array([1.0 if place in subset else -1.0 for place in range(3)])
        seen.add(tuple(np.flatnonzero(nnls(np.eye(3), wanted))))
    assert len(seen) == 8
