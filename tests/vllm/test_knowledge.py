"""When a race is run, and how long its steps are, by what was measured."""

import pytest

from gainful.sparkv.costs import PrefillSample
from gainful_vllm import knowledge as module
from gainful_vllm.knowledge import Knowledge, chunk_layout

NUM_CHUNKS = 10
CHUNK_BYTES = 32_000


@pytest.fixture
def knowledge(engine):
    """A millisecond per token, whatever the position; a chunk of 32 tokens holds 32,000 bytes. The link is unknown."""
    found = Knowledge(engine.scheduler_part.engine)
    for num_tokens in range(1, 17):
        found.observe_step(PrefillSample(num_tokens=num_tokens, position=0, seconds=num_tokens / 1000))
    found.refit()
    return found


@pytest.fixture
def layout(engine):
    return chunk_layout(engine.scheduler_part.engine, 0, (CHUNK_BYTES,) * NUM_CHUNKS)


def observe(knowledge, *bytes_per_second):
    knowledge.observe_round_trip(0.0)
    for rate in bytes_per_second:
        knowledge.observe_transfer(rate, 1.0)


class TestRacing:
    """Computing gives 1,000,000 bytes of cache per second."""

    def test_equal_routes_race(self, knowledge, layout):
        observe(knowledge, *[1_000_000] * 3)
        assert knowledge.plan_suffix(layout).route == "hybrid"

    def test_a_link_that_was_always_slow_is_left_alone(self, knowledge, layout):
        observe(knowledge, *[1_000] * 10)
        assert knowledge.plan_suffix(layout).route == "compute"
        assert not knowledge.is_worth_a_try(layout)

    def test_a_link_that_fell_lately_is_tried_again(self, knowledge, layout):
        observe(knowledge, *[1_000_000] * 3, *[1_000] * 16)
        assert knowledge.plan_suffix(layout).route == "compute"
        assert knowledge.is_worth_a_try(layout)

    def test_one_that_stays_slow_is_left_alone_in_the_end(self, knowledge, layout):
        observe(knowledge, *[1_000_000] * 3, *[1_000] * 64)
        assert not knowledge.is_worth_a_try(layout)

    def test_what_was_not_used_for_long_is_tried_again(self, knowledge, layout, monkeypatch):
        observe(knowledge, *[1_000] * 10)
        monkeypatch.setattr(module, "STALE_SECONDS", -1.0)
        assert knowledge.is_worth_a_try(layout)


class TestSteps:
    def test_without_measurements_steps_are_whole(self, engine, knowledge):
        assert knowledge.trimmed_step(0, 320, CHUNK_BYTES) is None
        observe(knowledge, 1_000_000, 1_000_000)
        unfitted = Knowledge(engine.scheduler_part.engine)
        observe(unfitted, 1_000_000, 1_000_000)
        assert unfitted.trimmed_step(0, 320, CHUNK_BYTES) is None

    def test_a_step_ends_where_both_routes_will_meet(self, knowledge):
        observe(knowledge, 1_000_000, 1_000_000)
        assert knowledge.trimmed_step(0, 320, CHUNK_BYTES) == 128  # far off: the engine's own length
        # 64 tokens from each side
        assert knowledge.trimmed_step(160, 288, CHUNK_BYTES) == 64

    def test_what_is_there_is_met_without_a_forecast_too(self, knowledge):
        observe(knowledge, 1_000_000, 1_000_000)
        assert knowledge.trimmed_step(160, 288, CHUNK_BYTES, forecast=False) == 128
        assert knowledge.trimmed_step(160, 256, CHUNK_BYTES, forecast=False) == 96

    def test_a_dead_link_brings_nothing_more(self, knowledge):
        observe(knowledge, 0, 0)
        assert knowledge.trimmed_step(160, 256, CHUNK_BYTES) == 96
