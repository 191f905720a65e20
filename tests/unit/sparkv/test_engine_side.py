"""What an engine's adapter asks of the core beside plans and races."""

import numpy as np
import pytest
import torch

from gainful.errors import InputError, IntegrityError
from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.codec import make_codec
from gainful.sparkv.coder import ChunkCoder
from gainful.sparkv.costs import RouteCosts
from gainful.sparkv.meter import TransferMeter
from gainful.sparkv.patience import load_patience_s, patience_s
from gainful.sparkv.planner import RACING, plan
from gainful.sparkv.prefix_plan import plan_prefix, probing
from gainful.sparkv.rebalancer import Rebalancer
from gainful.sparkv.staged import StagedSpan, common_span
from gainful.sparkv.unknown import Unknown


def costs(compute, stream, round_trip_s=0.0):
    return RouteCosts(np.array(compute, dtype=float), np.array(stream, dtype=float), round_trip_s)


class TestStagedSpan:
    def test_a_block_that_is_not_full_is_loaded_whole(self):
        assert StagedSpan(40, 100, 0).taken_at(53, 10, 99) == (50, 90)

    def test_what_is_not_reached_yet_is_not_taken(self):
        assert StagedSpan(40, 100, 0).taken_at(39, 10, 99) is None
        assert StagedSpan(40, 100, 0).taken_at(40, 10, 99) == (40, 90)

    def test_the_last_token_is_left_to_the_engine(self):
        assert StagedSpan(0, 100, 0).taken_at(0, 10, 99) == (0, 90)
        assert StagedSpan(0, 100, 0).taken_at(90, 10, 99) is None
        assert StagedSpan(0, 100, 0).taken_at(0, 10, 105) == (0, 100)

    def test_ranks_hold_in_common_what_all_of_them_hold(self):
        assert common_span([]) is None
        assert common_span([StagedSpan(10, 90, 0), StagedSpan(30, 80, 10)]) == StagedSpan(30, 80, 10)
        assert common_span([StagedSpan(10, 20, 0), StagedSpan(30, 80, 30)]) == StagedSpan(20, 20, 30)

    def test_a_race_says_what_it_has_staged(self):
        race = Rebalancer(ChunkLayout(3, 10, 1, first_token=20), now=0.0)
        assert race.staged_span() == StagedSpan(50, 50, 20)
        assert race.next_fetch(0.0) == 2
        race.on_fetched(2, 1.0)
        assert race.staged_span() == StagedSpan(40, 50, 20)
        race.stop_streaming("test")
        assert race.staged_span() == StagedSpan(40, 50, 40)

    def test_what_lies_before_a_hole_is_out_of_reach(self):
        race = Rebalancer(ChunkLayout(3, 10, 1), now=0.0)
        assert [race.next_fetch(0.0), race.next_fetch(0.0)] == [2, 1]
        race.on_fetched(2, 1.0)
        race.on_failed(1, 2.0)
        span = race.staged_span()
        assert span == StagedSpan(20, 30, 20)
        assert not span.may_reach(0)
        assert span.may_reach(20)


class TestPlanPrefix:
    def test_a_request_that_waits_for_its_load_streams_what_is_cheaper_streamed(self):
        found = plan_prefix(costs([1, 3, 5], [2, 2, 2], 0.5), num_chunks=3)
        # k=0: 9; k=1: .5 + 2 + 8 = 10.5; k=2: .5 + 4 + 5 = 9.5; k=3: .5 + 6 = 6.5
        assert (found.num_streamed, found.seconds, found.reason) == (3, 6.5, "gains")

    def test_layers_overlap(self):
        # two stages, k=1: max(2 + 8 / 2, 2 / 2 + 8) = 9; k=2: max(4 + 2.5, 2 + 5) = 7; k=3: max(6, 3) = 6
        found = plan_prefix(costs([1, 3, 5], [2, 2, 2]), num_chunks=3, num_stages=2)
        assert (found.num_streamed, found.seconds) == (3, 6.0)
        # with slow chunks of 3 s, k=1: max(3 + 4, 1.5 + 8) = 9.5; k=2: max(6 + 2.5, 3 + 5) = 8.5; k=3: 9
        found = plan_prefix(costs([1, 3, 5], [3, 3, 3]), num_chunks=3, num_stages=2, min_gain_ratio=0.0)
        assert (found.num_streamed, found.seconds) == (2, 8.5)

    def test_a_small_gain_is_declined(self):
        assert plan_prefix(costs([1, 1], [0.95, 0.95]), num_chunks=2).reason == "gain_too_small"

    def test_a_dead_link_streams_nothing(self):
        assert plan_prefix(costs([1, 1], [np.inf, np.inf]), num_chunks=2).num_streamed == 0

    def test_a_link_that_is_not_used_is_tried_with_two_chunks(self):
        declined = plan_prefix(costs([1, 1, 1], [9, 9, 9]), num_chunks=3)
        assert (probing(declined).num_streamed, probing(declined).reason) == (2, "probe")
        gains = plan_prefix(costs([1, 1, 1], [0.1, 0.1, 0.1]), num_chunks=3)
        assert probing(gains) is gains
        assert probing(plan_prefix(costs([], []), num_chunks=0)).num_streamed == 0

    def test_a_tail_that_fits_no_step_is_never_left(self):
        found = plan_prefix(costs([1, 1, 1, 1], [0.1, 0.1, 5, 5]), num_chunks=4, at_least=3)
        assert found.num_streamed == 0  # 5.2 + 1 is more than 4
        found = plan_prefix(costs([1, 1, 9, 9], [0.1, 0.1, 5, 5]), num_chunks=4, at_least=3)
        assert found.num_streamed >= 3

    def test_without_models_everything_is_streamed(self):
        found = plan_prefix(Unknown("no_bandwidth_samples"), num_chunks=7)
        assert (found.num_streamed, found.seconds, found.reason) == (7, None, "no_bandwidth_samples")

    def test_nothing_stored_is_no_error(self):
        assert plan_prefix(costs([], []), num_chunks=0).num_streamed == 0

    @pytest.mark.parametrize("wrong", [{"num_stages": 0}, {"at_least": 3}, {"at_least": -1}])
    def test_impossible_counts_are_refused(self, wrong):
        with pytest.raises(InputError, match="plan_prefix"):
            plan_prefix(costs([1, 1], [1, 1]), **{"num_chunks": 2, **wrong})


class TestRacing:
    def test_a_slow_link_is_raced_where_computing_goes_on_anyway(self):
        # 16 chunks, 1 s or 4 s each: 13 computed while 3 come in 12 s, 3 s less than 16; two chunks would be 8 s
        slow = costs([1] * 16, [4] * 16)
        assert (plan(slow).route, plan(slow).reason) == ("compute", "gain_too_small")
        raced = plan(slow, options=RACING)
        assert (raced.route, raced.split, raced.prediction.seconds) == ("hybrid", 13, 13.0)

    def test_a_link_that_brings_nearly_nothing_is_not(self):
        # one chunk of 40 s saves the last of 41: 2.4 %
        assert plan(costs([1] * 41, [40] * 41), options=RACING).route == "compute"

    def test_slow_computing_is_not_begun_for_little(self):
        assert plan(costs([10] * 16, [1] * 16), options=RACING).route == "stream"


class TestPatience:
    def test_only_a_plan_that_streams_everything_waits(self):
        assert patience_s(plan(costs([1] * 20, [1] * 20))) == 0.0
        assert patience_s(plan(Unknown("no_compute_samples"), num_chunks=3)) == 0.0
        assert patience_s(plan(costs([10] * 4, [0.25] * 4)), staged_share=1.0) == 1.25

    def test_a_link_that_gives_nothing_is_left_early(self):
        streams = plan(costs([10] * 4, [0.25] * 4))  # S = 1
        assert patience_s(streams) == pytest.approx(0.3125)  # 1.25 times a quarter
        assert patience_s(streams, staged_share=0.25) == pytest.approx(0.625)
        assert patience_s(streams, staged_share=0.75) == 1.25

    def test_waiting_less_than_a_step_is_not_worth_the_step(self):
        assert patience_s(plan(costs([10] * 4, [0.01] * 4)), step_seconds=10.0) == 10.0

    def test_a_prefix_load_may_take_twice_its_prediction(self):
        assert load_patience_s(plan_prefix(costs([1, 3, 5], [2, 2, 2], 0.5), num_chunks=3)) == 13.0
        assert load_patience_s(plan_prefix(costs([1] * 4, [0.01] * 4), num_chunks=4)) == 1.0  # a quarter of 4
        assert load_patience_s(plan_prefix(Unknown("no_compute_samples"), num_chunks=4)) is None

    def test_it_ends_when_plain_prefill_would_be_done(self):
        assert patience_s(plan(costs([1.0], [0.9])), staged_share=1.0) == 1.0


class TestTransferMeter:
    def test_two_at_once_count_their_time_once(self):
        meter = TransferMeter()
        meter.begin(1.0)
        meter.begin(2.0)
        meter.end(100, 3.0)
        meter.end(50, 5.0)
        assert meter.take(9.0) == (150, 4.0)
        assert meter.take(9.0) is None

    def test_pauses_do_not_count(self):
        meter = TransferMeter()
        meter.begin(0.0)
        meter.end(10, 1.0)
        meter.begin(9.0)
        meter.end(10, 10.0)
        assert meter.take(11.0) == (20, 2.0)

    def test_too_little_is_kept_for_the_next_time(self):
        meter = TransferMeter()
        meter.begin(0.0)
        meter.end(5, 0.00001)
        assert meter.take(0.5) is None
        meter.begin(1.0)
        meter.end(5, 2.0)
        assert meter.take(2.0) == (10, pytest.approx(1.00001))

    def test_an_outage_shows_while_it_lasts(self):
        meter = TransferMeter()
        meter.begin(0.0)
        assert meter.take(0.9) is None
        assert meter.take(2.5) == (0, 2.5)
        assert meter.take(3.0) is None


class TestChunkCoder:
    KEY = "ab" * 32
    layout = BlockLayout(num_kv_heads=2, block_size=16, head_dim=16, dtype="float32", packing="vec")

    def blocks(self):
        values = torch.randn(3, 2, self.layout.block_bytes // 4, generator=torch.Generator().manual_seed(1))
        return values.view(torch.uint8).view(3, 2, -1)

    def test_a_chunk_comes_back_whole_or_layer_by_layer(self):
        coder = ChunkCoder(make_codec("raw", self.layout), num_layers=3)
        blocks = self.blocks()
        frame = b"".join(coder.encode(self.KEY, blocks))
        out = torch.zeros_like(blocks)
        coder.decode(self.KEY, frame, out)
        assert torch.equal(out, blocks)
        header = coder.open(self.KEY, frame)
        begin, end = header.byte_range(1, 2)
        layer = torch.zeros_like(blocks[1:2])
        coder.decode_layers(header, 1, frame[begin:end], layer)
        assert torch.equal(layer, blocks[1:2])

    @pytest.mark.parametrize(("codec", "num_layers"), [("int8", 3), ("raw", 2)])
    def test_another_codec_or_depth_is_refused(self, codec, num_layers):
        frame = b"".join(ChunkCoder(make_codec("raw", self.layout), num_layers=3).encode(self.KEY, self.blocks()))
        reader = ChunkCoder(make_codec(codec, self.layout), num_layers=num_layers)
        with pytest.raises(IntegrityError, match="codec, version, lossy and layers"):
            reader.decode(self.KEY, frame, self.blocks())
