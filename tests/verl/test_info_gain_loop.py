"""verl's own tool agent with probes: a scripted rollout server, everything else is verl's."""

import asyncio
import json
from copy import deepcopy
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf, open_dict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gainful.carry import MARKER
from gainful.errors import ConfigError

PROBE = "The answer is <answer>"
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% if m['role'] == 'assistant' %}\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
CALL = '<tool_call>{"name": "search", "arguments": {"query": "x"}}</tool_call>'


@pytest.fixture(scope="module")
def tokenizer():
    """One token per byte, so that any text is exact."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(["<pad>", "<eos>", *alphabet])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    marks = {"pad_token": "<pad>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE, **marks)


@cache
def stock():
    """verl's configuration; composing it takes longer than a test does."""
    from hydra import compose, initialize_config_module

    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer")


def config_of(**algorithm):
    config = deepcopy(stock())
    rollout = config.actor_rollout_ref.rollout
    with open_dict(config):
        config.algorithm.adv_estimator = algorithm.pop("estimator", "info_gain")
        config.algorithm.gainful = OmegaConf.create({"samples": 4, "probe": {"timeout_s": 0.5}, **algorithm})
    rollout.update({"prompt_length": 64, "response_length": 600, "max_model_len": 2000, "calculate_log_probs": True})
    rollout.multi_turn.update({"format": "hermes", "max_tool_response_length": 200})
    rollout.val_kwargs.temperature = 0
    return config


class Server:
    """verl's `server_manager`: turns by script, probes by what the prefix holds."""

    def __init__(self, tokenizer, turns, believe, fault=None):
        self.tokenizer, self.turns, self.believe, self.fault = tokenizer, list(turns), believe, fault
        self.probes = []

    async def generate(self, request_id, *, prompt_ids, sampling_params, **unused):
        await asyncio.sleep(0)
        prompt = self.tokenizer.decode(prompt_ids)
        if "stop" in sampling_params or "prompt_logprobs" in sampling_params:
            self.probes.append((request_id, prompt, sampling_params))
            if self.fault and self.fault(prompt):
                raise ConnectionError("gone")
            return self._scored(prompt_ids) if "prompt_logprobs" in sampling_params else self._answer(prompt)
        return self._output(self.turns.pop(0))

    def _answer(self, prompt):
        number = sum(asked[1] == prompt for asked in self.probes) - 1
        return self._output(("paris" if number < self.believe(prompt) else f"town {number}") + "</answer> and so on")

    def _scored(self, prompt_ids):
        output = self._output("x")
        output.extra_fields["prompt_logprobs"] = [[-float(i)] for i in range(1, len(prompt_ids))] + [[0.0]]
        return output

    def _output(self, text):
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        fields = {"global_steps": 5, "num_cached_tokens": 3}
        return SimpleNamespace(
            token_ids=ids,
            log_probs=[-0.5] * len(ids),
            routed_experts=None,
            stop_reason="completed",
            num_preempted=None,
            extra_fields=fields,
        )


class Search:
    """A tool of verl's, without its retriever."""

    name = "search"
    tool_schema = SimpleNamespace(model_dump=lambda **_: {"type": "function", "function": {"name": "search"}})

    def __init__(self):
        self.said = iter(["doc one", "doc two", "doc three"])

    async def create(self, **unused):
        return "id", None

    async def execute(self, instance_id, arguments, **unused):
        from verl.tools.schemas import ToolResponse

        return ToolResponse(text=next(self.said)), 0.0, {"failed": None}

    async def release(self, instance_id):
        pass


ROW = {
    "raw_prompt": [{"role": "user", "content": "Where?"}],
    "reward_model": {"ground_truth": {"target": ["paris"]}},
    "data_source": "nq",
    "uid": "u1",
    "session_id": 0,
    "global_steps": 5,
}
TRAIN = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "logprobs": True}
TWO_SEARCHES = (CALL, CALL, "<answer>paris</answer>")


def believed(prompt):
    return 1 + ("doc one" in prompt) + 2 * ("doc two" in prompt)


def run(tokenizer, turns=TWO_SEARCHES, *, config=None, params=TRAIN, row=ROW, fault=None, believe=believed):
    """The output of one trajectory, and the server."""
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from gainful_verl import loop_runtime
    from gainful_verl.agent_loop import InfoGainToolLoop

    loop_runtime._runtimes.clear()
    config = config or config_of()
    server = Server(tokenizer, turns, believe, fault)

    async def trajectory():
        loop = InfoGainToolLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=server,
            tokenizer=tokenizer,
            processor=None,
            dataset_cls=RLHFDataset,
            data_config=DictConfigWrap(config.data),
            tools=ToolListWrap([Search()]),
        )
        return await loop.run(dict(params), **row)

    return asyncio.run(trajectory()), server


def rewards_of(output, outcome=1.0):
    output.reward_score = outcome
    return output.as_dict()["rm_scores"]


def values_of(output):
    rewards = rewards_of(output, 0.0)
    return rewards[rewards > 0].tolist()


def test_verl_finds_the_loop_by_its_name(fresh):
    code = (
        "import verl.experimental.agent_loop.agent_loop as a, verl.experimental.agent_loop;"
        "print('loop', a._agent_loop_registry['info_gain_tool_agent'])"
    )
    status, said = fresh("-c", code)
    assert status == 0
    assert "gainful_verl.agent_loop.InfoGainToolLoop" in said


class TestGains:
    def test_two_searches(self, tokenizer):
        output, server = run(tokenizer)
        assert values_of(output) == [0.25, 0.5]
        rewards = rewards_of(output)
        assert rewards.sum() == 1.0
        assert rewards[-1] == 1.0
        mask = torch.tensor(output.response_mask)
        assert not rewards[mask == 0].any()
        assert mask[-1] == 1
        assert len(server.probes) == 3 * 4
        assert all(prompt.endswith(PROBE) for _, prompt, _ in server.probes)
        assert len({request_id for request_id, _, _ in server.probes}) == 1

    def test_the_trajectory_is_that_of_verls_own_loop(self, tokenizer):
        with_gains, _ = run(tokenizer)
        without, server = run(tokenizer, config=config_of(weight=0))
        assert server.probes == []
        assert type(without).__name__ == "AgentLoopOutput"
        for name in ("prompt_ids", "response_ids", "response_mask", "response_logprobs", "num_turns"):
            assert getattr(with_gains, name) == getattr(without, name)
        assert with_gains.extra_fields == without.extra_fields

    def test_no_search_carries_nothing(self, tokenizer):
        output, _ = run(tokenizer, ("<answer>rome</answer>",))
        assert rewards_of(output, 0.0).abs().sum() == 0

    def test_evidence_is_blind_to_what_the_policy_wrote(self, tokenizer):
        config = config_of(probe={"context": "evidence"})
        lying = CALL.replace('"x"', '"doc two"')
        output, server = run(tokenizer, (lying, CALL, "<answer>paris</answer>"), config=config)
        assert values_of(output) == [0.25, 0.5]
        assert not any("tool_call" in prompt for _, prompt, _ in server.probes)

    def test_evidence_is_rendered_alike_where_verl_has_no_builder_of_tokens(self, tokenizer):
        from gainful_verl.agent_loop import InfoGainToolLoop

        def rendered(loop):
            return InfoGainToolLoop._render(loop, [{"role": "user", "content": "Where?"}])

        def build_initial_tokens(messages):
            return tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)

        builder = SimpleNamespace(build_initial_tokens=build_initial_tokens)
        common = {"tokenizer": tokenizer, "apply_chat_template_kwargs": {}}
        without = rendered(SimpleNamespace(continuous_token_builder=None, **common))
        assert without == rendered(SimpleNamespace(continuous_token_builder=builder, **common))
        assert tokenizer.decode(without) == "[user]Where?[assistant]"

    def test_likelihood_reads_the_tokens_of_the_gold_answer(self, tokenizer):
        output, server = run(tokenizer, config=config_of(kind="likelihood", likelihood={"form": "log"}))
        prompts = [prompt for _, prompt, _ in server.probes]
        assert all(prompt.endswith(PROBE + "paris") for prompt in prompts)
        # token i of a prompt has ln p = -i: the mean over those of "paris" falls with what comes before
        lengths = [len(tokenizer.encode(prompt, add_special_tokens=False)) for prompt in sorted(prompts, key=len)]
        gains = [before - after for before, after in pairwise(lengths)]
        negative = rewards_of(output, 0.0)
        assert negative[negative < 0].tolist() == [max(gain, -32.0) for gain in gains]


class TestFaults:
    def test_a_dead_engine_is_missing_and_not_zero(self, tokenizer):
        output, _ = run(tokenizer, fault=lambda prompt: "doc two" in prompt)
        assert values_of(output) == [MARKER, MARKER]
        assert rewards_of(output).sum() == 1.0

    def test_a_gap_in_the_middle(self, tokenizer):
        output, _ = run(tokenizer, fault=lambda prompt: "doc one" in prompt and "doc two" not in prompt)
        assert values_of(output) == [0.75, MARKER]

    def test_no_room(self, tokenizer):
        config = config_of()
        config.actor_rollout_ref.rollout.max_model_len = 200
        output, _ = run(tokenizer, config=config)
        assert MARKER in values_of(output)

    def test_a_cut_response_carries_nothing_past_its_end(self, tokenizer):
        config = config_of()
        config.actor_rollout_ref.rollout.response_length = 150
        output, _ = run(tokenizer, config=config)
        assert len(output.response_mask) <= 150
        assert values_of(output) == [0.25]
        assert output.response_mask[-1] == 1

    def test_a_row_without_a_reward_is_refused(self, tokenizer):
        output, _ = run(tokenizer)
        with pytest.raises(ConfigError, match="enable_resource_pool"):
            output.as_dict()

    def test_the_older_trainer_is_refused(self, tokenizer):
        config = config_of()
        config.trainer.use_v1 = False
        with pytest.raises(ConfigError, match=r"trainer.use_v1=true"):
            run(tokenizer, config=config)

    def test_unknown_options_are_refused(self, tokenizer):
        with pytest.raises(ConfigError, match="did you mean 'samples'"):
            run(tokenizer, config=config_of(sampels=3))


class TestWhenToProbe:
    def test_validation_is_not_probed(self, tokenizer):
        _, server = run(tokenizer, params={**TRAIN, "temperature": 0})
        assert server.probes == []

    @pytest.mark.parametrize(("split", "probed"), [("train", True), ("test", False)])
    def test_the_row_may_say_what_it_is(self, tokenizer, split, probed):
        _, server = run(tokenizer, row={**ROW, "extra_info": {"split": split}})
        assert bool(server.probes) == probed

    def test_other_estimators_make_it_verls_loop(self, tokenizer):
        config = config_of(estimator="grpo")
        config.algorithm.gainful = {"anything": "of another estimator"}
        output, server = run(tokenizer, config=config)
        assert server.probes == []
        assert rewards_of(output).abs().sum() == 1

    def test_ids_are_unique_where_verl_passes_them_on(self, tokenizer):
        config = config_of()
        config.actor_rollout_ref.rollout.full_determinism = True
        _, server = run(tokenizer, config=config)
        assert len({request_id for request_id, _, _ in server.probes}) == len(server.probes)


def test_metrics_and_texts_are_written_on_request(tokenizer, tmp_path):
    run(tokenizer, config=config_of(metrics_path=str(tmp_path), log_texts=True))
    (metrics,) = tmp_path.glob("loop-*.jsonl")
    line = json.loads(metrics.read_text())
    assert line["step"] == 5
    assert line["infogain/probe_calls"] == 12
    assert line["infogain/gold_mass_after"] == 1.0
    (texts,) = tmp_path.glob("trajectories-*.jsonl")
    record = json.loads(texts.read_text())
    assert [turn["documents"] for turn in record["turns"]] == [["doc one"], ["doc two"]]
    assert len(record["beliefs"]) == 3
