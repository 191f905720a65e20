"""info_gain as verl calls it: lambda 0 is its own grpo, one section serves estimator and loop."""

import json
import logging

import numpy as np
import pytest
import torch
import verl.trainer.ppo.core_algos  # noqa: F401  (registers ours)
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

from gainful.carry import carry, runs
from gainful.catalog import catalog
from gainful.errors import ConfigError, MissingInputError
from gainful.testing import random_batch
from gainful_verl.options import read
from gainful_verl.preflight import check_run
from gainful_verl.register import registered


def carrying(generator):
    """verl's arguments for a random batch with gains: outcomes of 0 or 1 on the last token."""
    batch = random_batch(generator)
    rewards = torch.zeros_like(batch.rewards)
    rewards[:, -1] = (batch.rewards.sum(dim=1) > 0.5).float()
    outcome = rewards.clone()
    for row, mask in enumerate(batch.response_mask.tolist()):
        turns = runs(mask)
        for token, value in carry(turns, torch.rand(max(len(turns) - 1, 0), generator=generator).tolist()):
            rewards[row, token] += value
    uids = np.array([str(group) for group in batch.group_ids.tolist()], dtype=object)
    return {"token_level_rewards": rewards, "response_mask": batch.response_mask, "index": uids}, outcome


@pytest.mark.parametrize("by_std", [True, False])
@pytest.mark.parametrize("form", ["turn", "trajectory_sum"])
def test_without_weight_it_is_verls_own_grpo_bit_for_bit(by_std, form):
    generator = torch.Generator().manual_seed(7)
    section = {"weight": 0, "form": form}
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": by_std, "adv_estimator": "info_gain", "gainful": section})
    for _ in range(50):
        tensors, outcome = carrying(generator)
        stock, _ = compute_grpo_outcome_advantage(
            token_level_rewards=outcome,
            response_mask=tensors["response_mask"],
            index=tensors["index"],
            norm_adv_by_std_in_grpo=by_std,
        )
        ours, _ = get_adv_estimator_fn("info_gain")(**tensors, config=config)
        assert torch.equal(ours, stock)
        # the row's sum is what verl logs, filters and validates by
        assert torch.equal(tensors["token_level_rewards"].sum(dim=1), outcome.sum(dim=1))


def test_too_many_missing_gains_stop_the_update_and_say_how_many():
    mask = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 1]])
    rewards = torch.tensor([[-64.0, 64.0, 0, 1], [-0.5, 0.5, 0, 0]])
    uids = np.array(["a", "a"], dtype=object)
    with pytest.raises(MissingInputError, match="1 of 2 gains are missing"):
        get_adv_estimator_fn("info_gain")(token_level_rewards=rewards, response_mask=mask, index=uids, config=None)


def read_section(**section):
    return read(OmegaConf.create({"gainful": section}), catalog().advantage("info_gain"))[1]


class TestOneSection:
    def test_the_estimator_reads_its_part(self):
        options = read_section(weight=0.3, samples=4, judge={"type": "containment"}, turn_baseline="mean")
        assert (options.weight, options.turn_baseline) == (0.3, "mean")

    def test_a_preset_reaches_the_estimator(self):
        assert read_section(preset="inforeasoner_served").form == "trajectory_sum"

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"wieght": 1}, "did you mean 'weight'"),
            ({"samples": 1}, "samples"),
            ({"probe": {"contxt": "history"}}, "contxt"),
            ({"form": "turn", "increments": "fixed"}, "do not telescope"),
        ],
    )
    def test_what_either_cannot_read_is_refused(self, section, message):
        with pytest.raises(ConfigError, match=message):
            read_section(**section)


def run_config(**changes):
    config = {
        "algorithm": {"adv_estimator": "info_gain", "gainful": {}},
        "trainer": {"use_v1": True, "v1": {"trainer_mode": "sync"}},
        "reward": {"reward_model": {"enable": False}},
        "actor_rollout_ref": {"rollout": {"agent": {"default_agent_loop": "info_gain_tool_agent"}}},
    }
    return OmegaConf.merge(OmegaConf.create(config), OmegaConf.create(changes))


class TestPreflight:
    def test_a_good_run_passes(self, caplog):
        caplog.set_level(logging.WARNING)
        assert check_run(run_config(), registered()).name == "info_gain"
        assert not caplog.records

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"trainer": {"use_v1": False}}, r"trainer\.use_v1=true"),
            ({"reward": {"reward_model": {"enable": True}}}, "enable_resource_pool=true"),
            ({"algorithm": {"use_kl_in_reward": True}}, "use_kl_loss=true"),
        ],
    )
    def test_what_would_lose_gains_is_refused(self, changes, message):
        with pytest.raises(ConfigError, match=message):
            check_run(run_config(**changes), registered())

    def test_lambda_zero_needs_nothing(self):
        changes = {"algorithm": {"gainful": {"weight": 0}}, "trainer": {"use_v1": False}}
        assert check_run(run_config(**changes), registered())

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"actor_rollout_ref": {"rollout": {"agent": {"default_agent_loop": "tool_agent"}}}}, "carries no gains"),
            ({"algorithm": {"filter_groups": {"enable": True, "metric": "reward"}}}, "filter_groups.metric"),
        ],
    )
    def test_what_may_be_meant_is_only_said(self, changes, message, caplog):
        check_run(run_config(**changes), registered())
        assert message in caplog.text


def test_statistics_are_written_on_request(tmp_path):
    tensors, _ = carrying(torch.Generator().manual_seed(3))
    section = {"metrics_path": str(tmp_path), "missing": {"max_rate": 1.0}}
    config = OmegaConf.create({"adv_estimator": "info_gain", "gainful": section})
    get_adv_estimator_fn("info_gain")(**tensors, config=config)
    (path,) = tmp_path.glob("estimator-*.jsonl")
    line = json.loads(path.read_text())
    assert 0 <= line["infogain/gain_mean"] <= 1
    assert line["gainful/adv/group_size_max"] >= 1
