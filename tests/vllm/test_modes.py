"""All modes in one real engine: equal tokens, whatever comes from where."""

import pytest
from vllm import SamplingParams

from gainful_vllm.two_pointer import TwoPointerRequest

MODES = ("two_pointer", "async_prefix", "layerwise")


@pytest.fixture(autouse=True)
def unhurried(engine):
    with engine.unhurried():
        yield


def stored(engine, ids):
    """Compute and save a prompt; its tokens."""
    tokens, report = engine.one(ids, mode="compute")
    assert report["computed_tokens"] == len(ids) - report["local_tokens"]
    engine.forget()
    return tokens


@pytest.fixture
def steps(engine, monkeypatch):
    """Tokens of each request in each step, of races that are told to cut steps to 32 tokens and to meet at 480."""
    seen = []
    part, has_met = engine.scheduler_part, TwoPointerRequest.has_met
    plan_step = part.plan_step

    def watched(meta, output):
        if output.num_scheduled_tokens:
            seen.append(list(output.num_scheduled_tokens.values()))
        plan_step(meta, output)

    monkeypatch.setattr(part, "plan_step", watched)
    monkeypatch.setattr(part.knowledge, "trimmed_step", lambda *args, forecast: 32 if forecast else 128)
    monkeypatch.setattr(part.knowledge, "is_worth_a_try", lambda layout: True)
    monkeypatch.setattr(TwoPointerRequest, "has_met", lambda self, num: num >= 480 and has_met(self, num))
    return seen


class TestSecondPass:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("num_tokens", [1500, 1024, 97])
    def test_what_was_saved_is_streamed_and_the_tokens_are_the_same(self, engine, prompt, mode, num_tokens):
        ids = prompt(num_tokens)
        expected = stored(engine, ids)
        tokens, report = engine.one(ids, mode=mode, use_plan=False)
        assert tokens == expected
        assert report["mode"] == mode
        assert report["local_tokens"] + report["computed_tokens"] + report["streamed_tokens"] == num_tokens
        assert report["streamed_tokens"] % 32 == 0
        if num_tokens > 128 or mode != "two_pointer":  # one step computes the short prompt
            assert report["streamed_tokens"] > 0
        engine.forget()
        assert engine.is_clean()

    def test_two_pointers_compute_the_front_and_stream_the_back(self, engine, prompt):
        ids = prompt(2000)
        expected = stored(engine, ids)
        tokens, report = engine.one(ids, mode="two_pointer", use_plan=False)
        assert tokens == expected
        assert report["reason"] == "taken over"
        assert report["met_at_token"] > 0
        assert report["met_at_token"] + report["streamed_tokens"] == 1984  # 62 blocks: the last token is computed
        assert report["computed_tokens"] == 2000 - report["streamed_tokens"]
        engine.forget()

    def test_steps_are_cut_short_where_both_routes_will_meet(self, engine, prompt, steps):
        ids = prompt(700)
        expected = stored(engine, ids)
        steps.clear()
        tokens, report = engine.one(ids, mode="two_pointer")
        assert tokens == expected
        # the first step begins the race; forecasts cut MAX_FORECASTS steps; after that only what is staged does
        assert steps[:6] == [[128], [32], [32], [32], [128], [128]]
        assert (report["met_at_token"], report["streamed_tokens"]) == (480, 192)
        engine.forget()

    def test_nobody_else_pays_for_a_race_with_short_steps(self, engine, prompt, steps):
        first, second = prompt(700), prompt(700)
        expected = [stored(engine, ids) for ids in (first, second)]
        steps.clear()
        tokens, _ = engine.generate([first, second], mode="two_pointer")
        assert tokens == expected
        assert [sum(step) for step in steps[:4]] == [128] * 4
        engine.forget()

    @pytest.mark.parametrize("mode", MODES)
    def test_local_hits_and_streamed_blocks_mix(self, engine, prompt, mode):
        front, back = prompt(300), prompt(900)
        expected = stored(engine, front + back)
        engine.one(front, mode="compute", save=False)
        tokens, report = engine.one(front + back, mode=mode, use_plan=False)
        assert tokens == expected
        assert report["local_tokens"] == 288
        assert report["streamed_tokens"] > 0
        engine.forget()

    @pytest.mark.parametrize("mode", MODES)
    def test_several_requests_at_once(self, engine, prompt, mode):
        prompts = [prompt(num_tokens) for num_tokens in (700, 411, 1200, 64)]
        expected, _ = engine.generate(prompts, mode="compute")
        engine.forget()
        tokens, reports = engine.generate(prompts, mode=mode, use_plan=False)
        assert tokens == expected
        assert sum(report["streamed_tokens"] for report in reports) > 0
        engine.forget()
        assert engine.is_clean()

    def test_a_prompt_that_continues_a_stored_one(self, engine, prompt):
        front, rest = prompt(800), prompt(333)
        stored(engine, front)
        expected, _ = engine.one(front + rest, mode="compute", save=False)
        engine.forget()
        for mode in MODES:
            tokens, report = engine.one(front + rest, mode=mode, use_plan=False, save=False)
            assert tokens == expected
            if mode == "layerwise":  # 333 tokens take three steps, and only the first could overlap
                assert (report["streamed_tokens"], report["reason"]) == (0, "tail longer than a step")
            else:
                assert 0 < report["streamed_tokens"] <= 800
            engine.forget()

    def test_zeros_instead_of_what_was_saved_change_the_tokens(self, engine, prompt, monkeypatch):
        """The control: equal tokens mean something only if wrong blocks show."""
        ids = prompt(1473)  # 46 blocks and one token: nothing of the front is computed
        expected = stored(engine, ids)
        decode = engine.worker_part.transfers.decode
        monkeypatch.setattr(engine.worker_part.transfers, "decode", lambda *args: decode(*args).zero_())
        tokens, report = engine.one(ids, mode="async_prefix", use_plan=False)
        assert report["streamed_tokens"] > 0
        assert tokens != expected
        engine.forget()


class TestNotStreamed:
    def test_after_a_reset_of_the_connector_nothing_old_is_used(self, engine, prompt):
        ids = prompt(500)
        expected = stored(engine, ids)
        assert engine.llm.reset_prefix_cache(reset_connector=True)
        tokens, report = engine.one(ids, mode="async_prefix", use_plan=False)
        assert (tokens, report["reason"]) == (expected, "not_stored")
        engine.forget()
        tokens, report = engine.one(ids, mode="async_prefix", use_plan=False)
        assert (tokens, report["reason"]) == (expected, "loaded")
        engine.forget()

    def test_what_is_not_stored_is_computed(self, engine, prompt):
        for mode in MODES:
            _, report = engine.one(prompt(500), mode=mode, save=False)
            assert (report["streamed_tokens"], report["reason"]) == (0, "not_stored")
        engine.forget()

    def test_a_client_that_asks_for_nonsense_gets_its_tokens(self, engine, prompt, monkeypatch):
        counted = []
        monkeypatch.setattr(engine.scheduler_part.counters, "add", lambda *names, by=1: counted.append(names))
        ids = prompt(200)
        expected, _ = engine.one(ids, mode="compute", save=False)
        tokens, report = engine.one(ids, mode="warp", save=False)
        assert tokens == expected
        assert report["mode"] == "two_pointer"
        assert ("fallbacks", "bad parameters") in counted
        engine.forget()

    def test_a_client_can_keep_its_prompt_out_of_the_store(self, engine, prompt):
        ids = prompt(500)
        engine.one(ids, save=False)
        engine.forget()
        _, report = engine.one(ids, mode="async_prefix", use_plan=False)
        assert report["reason"] == "not_stored"
        engine.forget()

    def test_prompt_logprobs_need_every_tokens_forward(self, engine, prompt):
        ids = prompt(300)
        stored(engine, ids)
        sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
        output = engine.llm.generate({"prompt_token_ids": ids}, sampling, use_tqdm=False)[0]
        assert len(output.prompt_logprobs) == 300
        assert output.kv_transfer_params["sparkv"]["mode"] == "compute"
        engine.forget()
