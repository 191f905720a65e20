"""Requests that end early, stores that do not answer: right tokens, in time, and nothing is left behind."""

import threading
import time

import pytest

from gainful.errors import StoreError, StoreTimeoutError

MODES = ("two_pointer", "async_prefix", "layerwise")


class Tap:
    """A store in front of another one, whose reads a test can hold, break or refuse."""

    def __init__(self, store):
        self._store = store
        self.opened = threading.Event()
        self.opened.set()
        self.change = bytes
        self.refuses = False
        self.num_reads = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def acquire(self, keys, *, max_seconds, from_start=False):
        if self.refuses:
            raise StoreError("refused")
        return self._store.acquire(keys, max_seconds=max_seconds, from_start=from_start)

    def read(self, lease, key, byte_range=None, *, max_seconds):
        self.num_reads += 1
        if not self.opened.wait(max_seconds):
            raise StoreTimeoutError("held by the test")
        return memoryview(self.change(self._store.read(lease, key, byte_range, max_seconds=max_seconds)))

    def stream(self, lease, requests, *, max_seconds, in_flight_bytes=0):
        until = time.monotonic() + max_seconds
        for key, part in requests:
            yield key, self.read(lease, key, part, max_seconds=max(0.0, until - time.monotonic()))


@pytest.fixture
def tap(engine):
    """In front of the workers' store; lookups are not held."""
    transfers = engine.worker_part.transfers
    tap = Tap(transfers.store)
    transfers.store = tap
    yield tap
    tap.opened.set()
    transfers.store = tap._store
    engine.forget()


@pytest.fixture
def stored(engine, prompt):
    """A prompt that is in the store and not in the engine, with its tokens."""
    ids = prompt(900)
    tokens, _ = engine.one(ids, mode="compute")
    engine.forget()
    return ids, tokens


def flipped(data):
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


class TestStoreFails:
    @pytest.mark.parametrize("mode", MODES)
    def test_a_store_that_hangs_costs_its_deadline_and_no_more(self, engine, tap, stored, mode):
        ids, expected = stored
        tap.opened.clear()
        start = time.monotonic()
        tokens, report = engine.one(ids, mode=mode, use_plan=False, max_seconds=0.5)
        assert time.monotonic() - start < 10
        assert tokens == expected
        assert report["streamed_tokens"] == 0
        if mode != "two_pointer":  # which just goes on computing
            assert report["reason"].startswith("failed")
            assert report["failed_tokens"] > 0

    @pytest.mark.parametrize("mode", MODES)
    def test_damaged_frames_are_computed_and_removed(self, engine, tap, stored, mode):
        ids, expected = stored
        tap.change = flipped
        tokens, report = engine.one(ids, mode=mode, use_plan=False, save=False)
        assert tokens == expected
        assert report["streamed_tokens"] == 0
        keys = engine.scheduler_part.engine.spaces[0].chunk_keys(list(engine.block_hashes(ids)))
        with tap._store.acquire(keys, max_seconds=5) as lease:
            assert len(lease) < len(keys)

    @pytest.mark.parametrize("mode", MODES)
    def test_a_store_that_refuses_after_the_lookup(self, engine, tap, stored, mode):
        ids, expected = stored
        tap.refuses = True
        tokens, report = engine.one(ids, mode=mode, use_plan=False, save=False)
        assert tokens == expected
        assert report["streamed_tokens"] == 0

    def test_half_a_prefix_is_kept(self, engine, tap, stored):
        ids, expected = stored
        read, tap.change = iter(range(1000)), lambda data: flipped(data) if next(read) >= 10 else data
        tokens, report = engine.one(ids, mode="async_prefix", use_plan=False)
        assert tokens == expected
        assert report["streamed_tokens"] == 10 * 32
        assert report["failed_tokens"] > 0

    @pytest.mark.parametrize("mode", MODES)
    def test_after_a_failed_load_an_equal_prompt_is_right_too(self, engine, tap, stored, mode):
        """Blocks of a failed load keep their hashes in vLLM's prefix cache unless somebody removes them."""
        ids, expected = stored
        tap.change = flipped
        tokens, _ = engine.generate([ids, ids], mode=mode, use_plan=False)
        assert tokens == [expected, expected]
        tokens, _ = engine.one(ids, mode="compute")
        assert tokens == expected


class TestEndsEarly:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("num_steps", [0, 1, 3])
    def test_an_abort_leaves_nothing_behind(self, engine, tap, stored, mode, num_steps):
        from vllm import SamplingParams

        ids, expected = stored
        if mode != "layerwise":  # which would wait inside the step
            tap.opened.clear()
        params = {"kv_transfer_params": {"sparkv": {"mode": mode, "use_plan": False, "max_seconds": 5}}}
        sampling = SamplingParams(max_tokens=50, temperature=0, ignore_eos=True, extra_args=params)
        engine.llm.llm_engine.add_request(f"abort-{mode}-{num_steps}", {"prompt_token_ids": ids}, sampling)
        for _ in range(num_steps):
            engine.llm.llm_engine.step()
            time.sleep(0.05)
        engine.abort_all()
        tap.opened.set()
        engine.drain()
        assert engine.is_clean()
        tokens, _ = engine.one(ids, mode=mode, use_plan=False)
        assert tokens == expected

    @pytest.mark.parametrize("mode", MODES)
    def test_preempted_requests_give_the_same_tokens(self, engine, tap, stored, mode):
        ids, expected = stored
        seen, schedule = [], engine.scheduler.schedule

        def schedule_and_preempt(*args, **kwargs):
            seen.append(1)
            if len(seen) in (4, 7) and not engine.scheduler.kv_holding_waiting:
                engine.scheduler.reset_prefix_cache(reset_running_requests=True)
            return schedule(*args, **kwargs)

        engine.scheduler.schedule = schedule_and_preempt
        try:
            tokens, _ = engine.one(ids, mode=mode, use_plan=False)
        finally:
            del engine.scheduler.schedule
        assert tokens == expected
        assert engine.is_clean()


class TestHooksFail:
    @pytest.mark.parametrize("hook", ["add", "matched", "has_met", "allocated", "plan_step", "learn", "finish"])
    def test_the_engine_computes(self, engine, tap, stored, monkeypatch, hook):
        ids, expected = stored

        def broken(*args, **kwargs):
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(engine.scheduler_part, hook, broken)
            tokens, _ = engine.one(ids, use_plan=False, save=False)
        assert tokens == expected
        for left in (engine.scheduler_part.requests, engine.scheduler_part._hosts):
            left.clear()  # what a broken `finish` could not free
        tokens, _ = engine.one(ids, use_plan=False)
        assert tokens == expected

    @pytest.mark.parametrize("hook", ["begin_step", "save", "take_received", "report", "end_step"])
    def test_a_worker_that_fails_too(self, engine, tap, stored, monkeypatch, hook):
        ids, expected = stored

        def broken(*args, **kwargs):
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(engine.worker_part, hook, broken)
            tokens, _ = engine.one(ids, mode="two_pointer", use_plan=False, save=False)
        assert tokens == expected
        engine.forget()
        tokens, _ = engine.one(ids, use_plan=False)
        assert tokens == expected


def test_a_plan_that_streams_everything_holds_the_request(engine, tap, stored):
    """With a known fast link and slow computing nothing is computed before the blocks are here."""
    from gainful.sparkv.costs import PrefillSample

    ids, expected = stored
    knowledge = engine.scheduler_part.knowledge
    kept = knowledge._calibration, knowledge._link
    try:
        knowledge._calibration = type(kept[0])("m", "d")
        for num_tokens in range(10, 30):
            knowledge.observe_step(PrefillSample(num_tokens=num_tokens, position=0, seconds=num_tokens * 1.0))
        knowledge.refit()
        for _ in range(50):
            knowledge.observe_transfer(1 << 30, 1.0)
        tokens, report = engine.one(ids, mode="two_pointer")
    finally:
        knowledge._calibration, knowledge._link = kept
    assert tokens == expected
    assert report["met_at_token"] == 0
    assert report["streamed_tokens"] == 896
    assert report["computed_tokens"] == 4
