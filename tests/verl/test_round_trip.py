"""Values through verl's real compute_advantage, with string uids and a DictConfig."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn

from gainful.advantage import AgpoConfig, agpo
from gainful.errors import ConfigError, InputError, MissingInputError, ShapeError
from gainful.testing import random_batch
from gainful_verl.adapt import group_ids
from gainful_verl.stats import last_statistics

RIGHT, WRONG = 0.857143, -1.571429


@pytest.mark.parametrize(
    ("estimator", "case", "options", "expected"),
    [
        ("agpo", "C1", {}, [0.707107, -1.707107, -1.707107, 0.707107]),
        ("agpo", "C3", {}, [RIGHT, -1, WRONG, -1, 0, WRONG, -1, 0, -1, RIGHT, 0, WRONG]),
        ("agpo", "C1", {"delta": 0.5, "negative_reward": -0.5}, [0.894427, -1.394427, -1.394427, 0.894427]),
        ("psr", "C1", {}, [1, 0, 0, 1]),
        ("nsr", "C1", {}, [0, -1, -1, 0]),
        ("w_reinforce", "C1", {}, [0.1, -1, -1, 0.1]),
        ("w_reinforce", "C1", {"positive_weight": 1}, [1, -1, -1, 1]),
    ],
)
def test_values_of_the_tables_come_out_of_verl(advantages_of, estimator, case, options, expected):
    assert advantages_of(case, estimator, **options) == pytest.approx(expected, abs=2e-6)


def test_three_of_eight_right(advantages_of):
    found = advantages_of("C2", "agpo")
    assert sorted(set(found)) == pytest.approx([-1.538816, 0.898027], abs=2e-6)


def test_interpolated_options_are_resolved(advantages_of):
    found = advantages_of("C1", "agpo", algorithm={"lam": 0.5}, delta="${lam}", negative_reward=-0.5)
    assert found[0] == pytest.approx(0.894427, abs=2e-6)


def test_the_core_without_constants_is_verls_grpo_up_to_the_sample_correction():
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        batch = random_batch(generator)
        sizes = batch.group_ids.unique(return_counts=True, return_inverse=True)
        size = sizes[2][sizes[1]]
        rows = size > 1
        rewards, mask, ids = batch.rewards[rows], batch.response_mask[rows], batch.group_ids[rows]
        uids = np.array([str(group) for group in ids.tolist()], dtype=object)
        theirs, _ = compute_grpo_outcome_advantage(rewards.clone(), mask, uids)
        ours = agpo(rewards, mask, ids, config=AgpoConfig(delta=0, negative_reward=0)).advantages
        n = size[rows][:, None].float()
        torch.testing.assert_close(ours, theirs * (n / (n - 1)).sqrt(), atol=1e-4, rtol=0)


def test_an_unknown_option_stops_the_call(advantages_of):
    with pytest.raises(
        ConfigError, match=r"algorithm\.gainful: unknown option 'dleta' for agpo; did you mean 'delta'\?"
    ):
        advantages_of("C1", "agpo", dleta=2)


def test_an_adapter_option_of_the_wrong_kind_is_refused(advantages_of):
    with pytest.raises(ConfigError, match=r"algorithm\.gainful\.log_stats: input should be a valid boolean"):
        advantages_of("C1", "agpo", log_stats="perhaps")


def test_a_section_that_is_no_mapping_is_refused(advantages_of):
    with pytest.raises(ConfigError, match="must be a mapping"):
        advantages_of("C1", "agpo", algorithm={"gainful": 3})


def test_bad_rewards_are_named(advantages_of):
    estimate = get_adv_estimator_fn("agpo")
    tokens, uids = torch.full((2, 3), 2.0), np.array(["a", "b"], dtype=object)
    with pytest.raises(InputError, match="row sums in \\[0, 1\\], got 6"):
        estimate(token_level_rewards=tokens, response_mask=torch.ones(2, 3), config=None, index=uids)


def test_missing_or_short_uids_are_refused():
    with pytest.raises(MissingInputError, match="passed no 'uid'"):
        group_ids(None, torch.zeros(2, 3))
    with pytest.raises(ShapeError, match=r"uid must be \[2\]"):
        group_ids(np.array(["a"], dtype=object), torch.zeros(2, 3))
    with pytest.raises(MissingInputError, match="row 1 of 2 has no uid, got None"):
        group_ids(np.array(["a", None], dtype=object), torch.zeros(2, 3))


@pytest.mark.parametrize("uids", [["b", "a", "b", "c"], [3, 1, 3, 2], ["b", "ab", "b", "abc"]])
def test_uids_become_group_ids_by_comparison(uids):
    ids = group_ids(np.array(uids, dtype=object), torch.zeros(4, 1))
    assert ids.dtype == torch.int64
    assert (ids[0] == ids[2]).item()
    assert len(set(ids.tolist())) == 3


def test_statistics_are_logged_on_request_and_leave_padding_out(caplog):
    estimate = get_adv_estimator_fn("agpo")
    uids = np.array(["a", "a", "pad0", "pad0"], dtype=object)
    rewards = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    arguments = {"token_level_rewards": rewards, "response_mask": torch.tensor([[1], [1], [0], [0]]), "index": uids}
    estimate(**arguments, config=OmegaConf.create({"gainful": {"delta": 1}}))
    assert "gainful/adv/" not in caplog.text
    estimate(**arguments, config=OmegaConf.create({"gainful": {"log_stats": True}}))
    assert "agpo update 1: " in caplog.text
    assert "gainful/adv/success_rate=0.5 " in caplog.text
    assert "gainful/adv/denom_mean=1.41421" in caplog.text
    assert last_statistics("agpo")["gainful/adv/all_wrong_share"] == 0


@pytest.mark.parametrize("by_std", [True, False])
def test_turn_credit_without_weight_is_verls_own_grpo_bit_for_bit(by_std):
    generator = torch.Generator().manual_seed(5)
    estimate = get_adv_estimator_fn("turn_credit")
    options = {"base": "grpo", "lam": 0}
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": by_std, "gainful": options})
    for _ in range(20):
        batch = random_batch(generator)
        last = batch.response_mask.shape[1] - 1
        rewards = torch.zeros_like(batch.rewards)
        rewards[:, last] = batch.rewards.sum(dim=1)
        uids = np.array([str(group) for group in batch.group_ids.tolist()], dtype=object)
        tensors = {"token_level_rewards": rewards, "response_mask": batch.response_mask, "index": uids}
        theirs, _ = compute_grpo_outcome_advantage(**tensors, norm_adv_by_std_in_grpo=by_std)
        ours, _ = estimate(**tensors, config=config)
        assert torch.equal(ours, theirs)


def test_padding_rows_have_no_part_in_statistics_over_the_batch():
    estimate = get_adv_estimator_fn("bnpo")
    uids = np.array(["a", "a", "pad0", "b", "b", "b", "pad0"], dtype=object)
    rewards = torch.tensor([[1.0], [0.0], [0.0], [1.0], [1.0], [0.0], [0.0]])
    mask = torch.tensor([[1], [1], [0], [1], [1], [1], [0]])
    keep = mask[:, 0] == 1
    found, _ = estimate(token_level_rewards=rewards, response_mask=mask, index=uids, config=None)
    alone, _ = estimate(
        token_level_rewards=rewards[keep], response_mask=mask[keep], index=uids[keep.numpy()], config=None
    )
    assert torch.equal(found[keep], alone)
    assert not found[~keep].any()


def test_a_response_whose_uid_only_looks_like_padding_is_kept():
    estimate = get_adv_estimator_fn("bnpo")
    uids = np.array(["padlock", "padlock", "b", "b"], dtype=object)
    rewards = torch.tensor([[1.0], [0.0], [1.0], [0.0]])
    found, _ = estimate(
        token_level_rewards=rewards, response_mask=torch.ones(4, 1, dtype=torch.int64), index=uids, config=None
    )
    assert found[:, 0].tolist() == [0.5, -0.5, 0.5, -0.5]
