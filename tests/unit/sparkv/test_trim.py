"""Steps that end where the stream will be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.sparkv import traces
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import ComputeModel, RouteCosts
from gainful.sparkv.simulate import Situation, hindsight_s, race
from gainful.sparkv.trim import step_to_meet, trimmed_step

SECOND_PER_TOKEN = ComputeModel(
    step_seconds=0.0, token_seconds=1.0, pair_seconds=0.0, num_samples=8, relative_error=0.0
)


def trimmed(staged_token, *, computed=0, chunk_stream_s=10.0, block_tokens=10, step_tokens=40):
    return trimmed_step(
        SECOND_PER_TOKEN,
        computed,
        staged_token,
        chunk_tokens=10,
        chunk_stream_s=chunk_stream_s,
        block_tokens=block_tokens,
        step_tokens=step_tokens,
    )


class TestTrimmedStep:
    def test_it_ends_where_both_routes_meet(self):
        # after 20 s: two blocks computed, and two of the chunks behind 40 have come
        assert trimmed(40) == 20

    def test_a_stream_that_is_far_off_leaves_the_step_whole(self):
        assert trimmed(200) == 40

    def test_a_dead_link_leaves_it_whole_unless_computing_gets_there_by_itself(self):
        assert trimmed(200, chunk_stream_s=math.inf) == 40
        assert trimmed(30, chunk_stream_s=math.inf) == 30

    def test_a_step_ends_on_a_block(self):
        # from 13: the next block ends at 20, and 40 - 10 (floor(7 / 10 + .5) = 1 chunk) is not met there
        assert trimmed(30, computed=13) == 7
        assert trimmed(40, computed=13) == 17

    def test_a_block_longer_than_the_step_is_not_cut(self):
        assert trimmed(30, block_tokens=128) == 40

    def test_the_first_end_that_meets_is_taken(self):
        ends, tokens = np.array([1.0, 2.0, 3.0]), np.array([10, 20, 30])
        assert step_to_meet(ends, tokens, 20, 10, 1.0) == 10
        assert step_to_meet(ends, tokens, 20, 10, 100.0) == 20
        assert step_to_meet(ends, tokens, 35, 10, 100.0) == 30


@given(
    st.integers(4, 40),
    st.floats(0.1, 10.0),
    st.integers(1, 10),
    st.floats(0.0, 0.05),
)
def test_on_steady_routes_a_trimmed_race_ends_within_a_chunk_of_hindsight(num_chunks, stream_s, step_chunks, growth):
    """A whole step may be `step_chunks` late."""
    layout = ChunkLayout(num_chunks, 10, 100)
    compute = 1.0 + growth * np.arange(num_chunks)
    costs = RouteCosts(compute, np.full(num_chunks, stream_s), 0.0)
    situation = Situation(layout, costs, traces.constant(100.0 / stream_s), traces.constant(1.0))
    found = race(situation, window_chunks=2, step_chunks=step_chunks, interruptible=False, trimmed=True).seconds
    assert found <= hindsight_s(situation) + max(float(compute[-1]), stream_s) + 1e-9


@pytest.mark.parametrize(("num_chunks", "step_chunks"), [(16, 2), (16, 4), (32, 8)])
def test_trimming_gains_where_steps_are_coarse(num_chunks, step_chunks):
    """Routes about equally fast: they meet in the middle of the prompt, which is the middle of a step."""
    layout = ChunkLayout(num_chunks - 2, 10, 100)
    costs = RouteCosts(np.ones(layout.num_chunks), np.full(layout.num_chunks, 0.99), 0.0)
    situation = Situation(layout, costs, traces.constant(100.0 / 0.99), traces.constant(1.0))
    whole, cut = (
        race(situation, window_chunks=2, step_chunks=step_chunks, interruptible=False, trimmed=trim).seconds
        for trim in (False, True)
    )
    assert cut == hindsight_s(situation) < whole
