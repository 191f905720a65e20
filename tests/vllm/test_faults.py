"""Faults of every kind, over vLLM's own scheduler with a model of arithmetic: a selection of what the command runs.

`python recipes/bench/sparkv_faults.py` injects ten thousand of them, into real servers and a real engine as well.
"""

import copy
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "bench"))

from faults.clock import Clock
from faults.host import Host, host_config, write_model_folder
from faults.model import tokens_after
from faults.scenario import KINDS, Library, Plan, Tally, Wish, draw_plan, run, seeded, wrong_entries
from faults.store import Fault

from gainful.sparkv.stores import open_store
from gainful_vllm.lookup import REST_SECONDS

SCENARIOS = 8
PROMPT = tuple(seeded("prompt").choices(range(3, 500), k=200))
LONGER = PROMPT + tuple(seeded("tail").choices(range(3, 500), k=24))
"""Twelve blocks of it are stored once PROMPT was computed; the rest is a short tail with two more blocks' ends."""


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = write_model_folder(tmp_path_factory.mktemp("faults"))
    return {num_ranks: host_config(folder, num_ranks) for num_ranks in (1, 2)}


@pytest.fixture
def open_host(configs):
    """`open_host(num_ranks=2, chunk_blocks=2)`: an engine with a store that faults can hit; closed in the end."""
    opened = []

    def make(num_ranks=1, num_blocks=100, long_prefill_tokens=0, **options):
        config = copy.copy(configs[num_ranks])
        config.scheduler_config = copy.copy(config.scheduler_config)
        config.scheduler_config.long_prefill_token_threshold = long_prefill_tokens
        limits = {"lookup_seconds": 5.0, "load_seconds": 0.3, "stall_seconds": 0.1, "save_seconds": 0.3}
        opened.append(Host(config, open_store("memory://"), num_blocks, **{**limits, **options}))
        return opened[-1]

    yield make
    for host in opened:
        host.close()


def serve(host, *wishes, faults=()):
    """Requests that come at once, under faults; what a tally says of them."""
    tally = Tally()
    plan = Plan("test", [Wish(0, *wish) for wish in wishes], list(faults), [], 0.02, True, seeded("test"))
    assert run(host, plan, Clock(), tally), tally.stories
    assert not tally.problems, tally.stories
    return tally


def wish(prompt, mode, max_tokens=2):
    return prompt, max_tokens, {"mode": mode, "use_plan": False}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_of_this_kind_do_no_harm(open_host, kind):
    draw, tally, clock = seeded(kind), Tally(), Clock()
    num_ranks = 2 if kind == "ranks disagree" else draw.choice((1, 2))
    host, library = (
        open_host(num_ranks, num_blocks=60, chunk_blocks=draw.choice((1, 2)), lookup_seconds=0.1),
        Library(draw),
    )
    with clock.installed():
        for index in range(SCENARIOS):
            plan = draw_plan(f"{kind} {index}", draw, library, num_ranks, (kind,))
            plan.wishes.append(Wish(0, library.pick(), 2, {"mode": "compute"}))  # something to save
            assert run(host, plan, clock, tally), tally.stories
    assert not tally.problems, tally.stories
    assert not wrong_entries(host, library.all)
    assert host.faults.struck[kind] > 0


def test_the_model_notices_a_block_that_is_wrong(open_host, monkeypatch):
    """The control: right tokens mean something only if wrong blocks show."""
    host = open_host()
    serve(host, wish(PROMPT, "compute"))
    transfers = host.workers[0].worker_part.transfers
    decode = transfers.decode

    def one_bit_off(*args):
        blocks = decode(*args)
        blocks[0, 0, 0] ^= 1
        return blocks

    monkeypatch.setattr(transfers, "decode", one_bit_off)
    tally = Tally()
    plan = Plan("control", [Wish(0, *wish(PROMPT, "async_prefix"))], [], [], 0.0, True, seeded("control"))
    run(host, plan, Clock(), tally)
    assert tally.problems["wrong tokens"] == 1


@pytest.mark.parametrize("variant", [0.1, 0.9])
@pytest.mark.parametrize("mode", ["async_prefix", "layerwise", "two_pointer"])
@pytest.mark.parametrize("kind", ["reordered chunks", "duplicated chunks"])
def test_answers_out_of_order_are_not_taken_for_what_was_asked(open_host, kind, mode, variant):
    """A frame of the prompt's next chunk is sound, and proves its own key: it must not land in this one's blocks."""
    host = open_host()
    serve(host, wish(PROMPT, "compute"))
    serve(host, wish(PROMPT, mode), faults=[Fault(kind, "stream", 2, variant)])
    assert host.faults.struck[kind] == 1


def test_a_damaged_chunk_that_cannot_be_removed_costs_no_memory(open_host):
    host = open_host()
    serve(host, wish(PROMPT, "compute"))
    faults = [Fault("bit flip", "read", 1, 0.5), Fault("reset", "discard", 0, 0.0)]
    serve(host, wish(PROMPT, "two_pointer"), faults=faults)
    assert host.faults.struck == {"bit flip": 1, "reset": 1}


class TestLayerwiseFails:
    """The forward has run upon blocks that did not come: nothing of it may be kept."""

    def refuse(self, rank=None):
        return [Fault("reset", "read", 3, 0.3, rank)]

    def failed_once(self, host, name, **params):
        """A request whose layer-wise load has just failed."""
        serve(host, wish(PROMPT, "compute"))
        host.reset_prefix_cache(running_too=False)
        host.faults.arm(self.refuse())
        request = host.add(name, LONGER, 2, mode="layerwise", use_plan=False, **params)
        while not host.part.requests[name].lookup.done():
            time.sleep(0.001)
        return request

    @pytest.mark.parametrize("num_ranks", [1, 2])
    @pytest.mark.parametrize("max_tokens", [1, 3])
    def test_the_tail_is_not_saved_before_it_is_right(self, open_host, num_ranks, max_tokens):
        host = open_host(num_ranks)
        serve(host, wish(PROMPT, "compute"))
        serve(host, wish(LONGER, "layerwise", max_tokens), faults=self.refuse(num_ranks - 1))
        assert host.faults.struck["reset"] == 1
        assert not wrong_entries(host, [LONGER])
        keys = host.part.engine.spaces[0].chunk_keys(host.request_of(LONGER).block_hashes)
        assert len(keys) == 14
        if num_ranks == 1 or max_tokens > 1:
            assert all(host.stored(key) is not None for key in keys)

    def test_after_an_abort_nobody_finds_the_tail_in_the_prefix_cache(self, open_host):
        host = open_host()
        self.failed_once(host, "first", save=False)
        host.step()
        assert host.part.requests["first"].reason.startswith("failed")
        assert host.abort("first")
        host.faults.release()
        for name in ("second", "third"):
            host.add(name, LONGER, 2, mode="compute", save=False)
            while host.scheduler.requests:
                host.step()
            assert tuple(host.answers[name].tokens) == tokens_after(host.model, LONGER, 2)

    def test_an_equal_prompt_of_the_same_step_does_not_share_what_is_not_there(self, open_host):
        host = open_host(long_prefill_tokens=32)
        self.failed_once(host, "first")
        host.add("second", LONGER, 2, mode="compute")
        while host.scheduler.requests:
            host.step()
        assert host.faults.struck["reset"] == 1
        for name in ("first", "second"):
            assert tuple(host.answers[name].tokens) == tokens_after(host.model, LONGER, 2)


@pytest.mark.parametrize("mode", ["two_pointer", "async_prefix"])
def test_a_lookup_without_an_answer_is_said_to_be_late(open_host, mode):
    host = open_host(lookup_seconds=0.05)
    tally = serve(host, wish(PROMPT, mode), faults=[Fault("stall", "acquire", 0, 0.1)])
    assert tally.outcomes == {f"{mode}: lookup late": 1}


def test_no_lookup_holds_its_thread_longer_than_a_store_rests(open_host, monkeypatch):
    host, seen = open_host(load_seconds=60.0), []
    store = host.part.lookups._store
    acquire = store.acquire

    def watched(keys, *, max_seconds):
        seen.append(max_seconds)
        return acquire(keys, max_seconds=max_seconds)

    monkeypatch.setattr(store, "acquire", watched)
    serve(host, wish(PROMPT, "two_pointer"))
    assert seen
    assert max(seen) <= REST_SECONDS


@pytest.mark.parametrize("mode", ["two_pointer", "async_prefix", "layerwise"])
def test_a_step_that_does_not_begin_keeps_no_promise(open_host, monkeypatch, mode):
    host = open_host()
    serve(host, wish(PROMPT, "compute"))
    part = host.workers[0].worker_part
    begin_step, seen = part.begin_step, []

    def broken(meta):
        if meta.take_overs or meta.loads:
            seen.append(meta)
            raise RuntimeError("a bug")
        begin_step(meta)

    monkeypatch.setattr(part, "begin_step", broken)
    tally = serve(host, wish(PROMPT, mode))
    assert len(seen) == 1
    assert tally.streamed_tokens == 0


def test_ranks_that_fail_in_different_steps_are_counted_once(open_host):
    host = open_host(2)
    serve(host, wish(PROMPT, "compute"))
    faults = [Fault("reset", "read", 9, 0.3, 0), Fault("stall", "read", 4, 0.9, 1)]
    tally = serve(host, wish(PROMPT, "async_prefix"), faults=faults)
    assert tally.streamed_tokens + tally.failed_tokens == 192
    assert tally.failed_tokens > 0
