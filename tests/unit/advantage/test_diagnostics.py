import math

import pytest
import torch

from gainful.advantage import AgpoConfig, agpo, agpo_metrics, diagnostics


def test_mixed_groups_match_hand_computed_values(case):
    rewards, mask, ids = case("C3")
    mask[0] = torch.tensor([1, 0, 0])
    config = AgpoConfig()
    advantages = agpo(rewards, mask, ids, config=config).advantages
    found = diagnostics(advantages, rewards, mask, ids, config=config, metrics=agpo_metrics)
    # 12 rows: 5 right, of which 2 carry 0.857143 and 3 zero; 7 wrong: 4 with -1, 3 with -1.571429
    assert found["gainful/adv/net_seq"] == pytest.approx(-7 / 12)
    assert found["gainful/adv/net_token"] == pytest.approx((0.857143 * 4 - 3 * (4 + 3 * 1.571429)) / 34, rel=1e-6)
    assert found["gainful/adv/neg_pos_ratio"] == pytest.approx((4 + 3 * 1.571429) / (2 * 0.857143), rel=1e-6)
    assert found["gainful/adv/success_rate"] == pytest.approx(5 / 12)
    assert found["gainful/adv/zero_adv_share"] == pytest.approx(3 / 12)
    assert found["gainful/adv/all_wrong_share"] == pytest.approx(2 / 5)
    assert found["gainful/adv/all_right_share"] == pytest.approx(2 / 5)
    assert found["gainful/adv/singleton_share"] == pytest.approx(2 / 5)
    assert (found["gainful/adv/group_size_min"], found["gainful/adv/group_size_max"]) == (1, 5)
    assert found["gainful/adv/len_right"] == pytest.approx(13 / 5)
    assert found["gainful/adv/len_wrong"] == pytest.approx(3)
    assert found["gainful/adv/denom_mean"] == pytest.approx((1.4 + 4) / 5)


def test_what_has_no_value_is_nan_and_never_zero(case):
    rewards, mask, ids = case("C1")
    wrong = torch.zeros_like(rewards)
    found = diagnostics(agpo(wrong, mask, ids).advantages, wrong, mask, ids)
    assert math.isnan(found["gainful/adv/len_right"])
    assert found["gainful/adv/neg_pos_ratio"] == math.inf


def test_rows_without_policy_tokens_carry_no_advantage(case):
    rewards, mask, ids = case("C1")
    mask[1] = 0
    found = diagnostics(agpo(rewards, mask, ids).advantages, rewards, mask, ids)
    assert found["gainful/adv/net_seq"] == pytest.approx((2 * 0.707107 - 1.707107) / 3, rel=1e-5)
    assert found["gainful/adv/success_rate"] == 0.5


def test_an_empty_batch_gives_nan():
    empty = torch.zeros(0, 4)
    found = diagnostics(empty, empty, empty, torch.zeros(0, dtype=torch.int64))
    assert all(math.isnan(value) for value in found.values())


def test_signed_rewards_count_zero_as_right(case):
    rewards, mask, ids = case("C1")
    config = AgpoConfig(reward_map="signed")
    signed = rewards - 0.25  # 0.75 and -0.25: right by sign, and only one of the kinds by the threshold
    found = diagnostics(agpo(signed, mask, ids, config=config).advantages, signed, mask, ids, config=config)
    assert found["gainful/adv/success_rate"] == pytest.approx((2 * 1 + 0) / 4)
    above = torch.full_like(rewards, 0.1)
    assert diagnostics(above, above, mask, ids, config=config)["gainful/adv/success_rate"] == 1
    assert diagnostics(above, above, mask, ids)["gainful/adv/success_rate"] == 0
