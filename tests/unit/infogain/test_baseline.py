"""The baseline of a question is probed once, whatever happens to those who wait for it."""

import asyncio

from gainful.infogain import AnswerSample, BaselineCache, BaselineKey, Missing

KEY = BaselineKey.of("nq", "where?", 3, "abc")
SAMPLES = [AnswerSample("paris")]


def probe_of(calls, result=SAMPLES, gate=None):
    async def probe():
        calls.append(1)
        if gate:
            await gate.wait()
        if isinstance(result, Exception):
            raise result
        return result

    return probe


def test_rollouts_at_the_same_time_and_later_ones_share_one_probe():
    async def run():
        cache, calls = BaselineCache(), []
        first = await asyncio.gather(*(cache.get(KEY, probe_of(calls)) for _ in range(8)))
        again = await cache.get(KEY, probe_of(calls))
        return cache, calls, [*first, again]

    cache, calls, found = asyncio.run(run())
    assert len(calls) == cache.num_probes == 1
    assert cache.num_hits == 8
    assert all(samples is SAMPLES for samples in found)


def test_a_probe_that_gave_nothing_is_made_again():
    async def run():
        cache, calls = BaselineCache(), []
        gone = Missing("probe_timeout")
        first = await asyncio.gather(*(cache.get(KEY, probe_of(calls, gone)) for _ in range(3)))
        return calls, first, await cache.get(KEY, probe_of(calls))

    calls, first, later = asyncio.run(run())
    assert [value.reason for value in first] == ["probe_timeout"] * 3
    assert later is SAMPLES
    assert len(calls) == 2


def test_an_error_reaches_all_that_wait_and_is_not_kept():
    async def run():
        cache, calls = BaselineCache(), []
        broken = probe_of(calls, RuntimeError("broken"))
        first = await asyncio.gather(*(cache.get(KEY, broken) for _ in range(2)), return_exceptions=True)
        return first, await cache.get(KEY, probe_of(calls))

    first, later = asyncio.run(run())
    assert [str(error) for error in first] == ["broken", "broken"]
    assert later is SAMPLES


def test_a_rollout_that_is_cancelled_does_not_end_the_probe_of_the_others():
    async def run():
        cache, calls, gate = BaselineCache(), [], asyncio.Event()
        waiting = [asyncio.create_task(cache.get(KEY, probe_of(calls, gate=gate))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.set()
        return calls, await asyncio.gather(*waiting, return_exceptions=True)

    calls, found = asyncio.run(run())
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1] is found[2] is SAMPLES
    assert len(calls) == 1


def test_everything_that_a_baseline_depends_on_is_in_its_key():
    keys = {
        KEY,
        BaselineKey.of("hotpot", "where?", 3, "abc"),
        BaselineKey.of("nq", "who?", 3, "abc"),
        BaselineKey.of("nq", "where?", 4, "abc"),
        BaselineKey.of("nq", "where?", 3, "abd"),
    }
    assert len(keys) == 5
    assert "where" not in str(KEY)


def test_the_cache_is_bounded():
    async def run():
        cache, calls = BaselineCache(max_entries=2), []
        for question in ("a", "b", "a", "c", "a", "b"):
            await cache.get(BaselineKey.of("d", question, 0, ""), probe_of(calls))
        return len(calls)

    assert asyncio.run(run()) == 4  # a, b, c, and b again
