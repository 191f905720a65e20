import warnings

import pytest
import torch

from gainful.advantage import AgpoConfig, agpo, agpo_metrics, nsr
from gainful.errors import ConfigError, InputError, ShapeError

C1 = [0.707107, -1.707107, -1.707107, 0.707107]
C3 = [0.857143, -1, -1.571429, -1, 0, -1.571429, -1, 0, -1, 0.857143, 0, -1.571429]
SOFT = AgpoConfig(delta=0.5, negative_reward=-0.5)
SOFT_C3 = [1.090909, -0.5, -1.227273, -0.5, 0, -1.227273, -0.5, 0, -0.5, 1.090909, 0, -1.227273]

# eight responses, delta 1, R -1, k of them right: D = sqrt(4p(1-p) + 1), A+ = 2(1-p)/D, A- = -2p/D - 1
RIGHT_OF_8 = [None, 1.459601, 1.133893, 0.898027, 0.707107, 0.538816, 0.377964, 0.208514, 0.0]
WRONG_OF_8 = [-1.0, -1.208514, -1.377964, -1.538816, -1.707107, -1.898027, -2.133893, -2.459601, None]


def test_half_right_group_matches_hand_computed_values(case, assert_rows):
    # s = 1, -1, -1, 1: mean 0, variance 1, relative part 1 / sqrt(1 + 1)
    assert_rows(agpo(*case("C1")).advantages, C1)


def test_three_of_eight_right_matches_hand_computed_values(case, assert_rows):
    right, wrong = 0.898027, -1.538816
    assert_rows(agpo(*case("C2")).advantages, [wrong, right, wrong, wrong, right, wrong, right, wrong])


def test_mixed_groups_match_hand_computed_values(case, assert_rows):
    out = agpo(*case("C3")).advantages
    assert_rows(out, C3)
    assert out[:, 0].sum().item() == pytest.approx(-7)  # R times seven wrong rows


def test_other_constants_match_hand_computed_values(case, assert_rows):
    assert_rows(agpo(*case("C1"), config=SOFT).advantages, [0.894427, -1.394427, -1.394427, 0.894427])
    right, wrong = 1.147079, -1.188247
    expected = [wrong, right, wrong, wrong, right, wrong, right, wrong]
    assert_rows(agpo(*case("C2"), config=SOFT).advantages, expected)
    assert_rows(agpo(*case("C3"), config=SOFT).advantages, SOFT_C3)


def test_graded_rewards_match_hand_computed_values(case, assert_rows):
    assert_rows(agpo(*case("C4")).advantages, [0.784465, -1.392232, -1.784465, 0.392232])
    # by threshold the rows are right, wrong, wrong, right: as C1
    assert_rows(agpo(*case("C4"), config=AgpoConfig(reward_map="binary")).advantages, C1)


@pytest.mark.parametrize("num_right", range(9))
def test_table_of_eight_responses(num_right):
    rewards = torch.zeros(8, 1, dtype=torch.float64)
    rewards[:num_right] = 1
    out = agpo(rewards, torch.ones(8, 1), torch.zeros(8, dtype=torch.int64)).advantages[:, 0]
    if num_right:
        torch.testing.assert_close(out[0].item(), RIGHT_OF_8[num_right], atol=2e-6, rtol=0)
    if num_right < 8:
        torch.testing.assert_close(out[-1].item(), WRONG_OF_8[num_right], atol=2e-6, rtol=0)


def test_all_wrong_group_equals_nsr(case):
    rewards, mask, ids = case("C1")
    wrong = torch.zeros_like(rewards)
    assert torch.equal(agpo(wrong, mask, ids).advantages, nsr(wrong, mask, ids).advantages)


def test_zero_one_equals_signed_on_plus_minus_one_exactly(case):
    rewards, mask, ids = case("C3")
    signed = rewards.clone()
    signed[:, -1] = 2 * rewards[:, -1] - 1
    config = AgpoConfig(reward_map="signed")
    assert torch.equal(agpo(rewards, mask, ids).advantages, agpo(signed, mask, ids, config=config).advantages)


def test_delta_zero_gives_groups_without_spread_a_zero_first_term(case, assert_rows):
    config = AgpoConfig(delta=0, negative_reward=0)
    # 30: s has mean -0.2 and variance 0.96: right 1.2 / 0.979796, wrong -0.8 / 0.979796; all other groups are flat
    right, wrong = 1.224745, -0.816497
    expected = [right, 0, wrong, 0, 0, wrong, 0, 0, 0, right, 0, wrong]
    assert_rows(agpo(*case("C3"), config=config).advantages, expected)


def test_success_signal_replaces_the_threshold(case, assert_rows):
    success = torch.tensor([False, True, True, False])
    rewards, mask, ids = case("C1")
    binary = AgpoConfig(reward_map="binary")
    assert_rows(agpo(rewards, mask, ids, config=binary, success=success).advantages, [C1[i] for i in (1, 0, 3, 2)])


def test_zero_one_rewards_under_signed_are_refused(case):
    with pytest.raises(InputError, match=r"reward_map 'signed' needs wrong responses below 0.*'zero_one'"):
        agpo(*case("C1"), config=AgpoConfig(reward_map="signed"))


def test_positive_rewards_that_differ_under_signed_warn(case):
    rewards, mask, ids = case("C1")
    with pytest.warns(UserWarning, match="check the sign of the reward"):
        agpo(rewards + 1, mask, ids, config=AgpoConfig(reward_map="signed"))
    with warnings.catch_warnings():  # equal rewards may simply all be right
        warnings.simplefilter("error")
        agpo(torch.ones_like(rewards), mask, ids, config=AgpoConfig(reward_map="signed"))


@pytest.mark.parametrize("outcome", [-1.0, 1.1])
def test_zero_one_refuses_rewards_outside_its_range_and_names_signed(case, outcome):
    rewards, mask, ids = case("C1")
    rewards[0, -1] = outcome
    with pytest.raises(InputError, match="set reward_map to 'signed'"):
        agpo(rewards, mask, ids)


def test_zero_one_tolerates_rounding(case):
    rewards, mask, ids = case("C1")
    agpo(rewards * (1 + 5e-7), mask, ids)


def test_a_non_finite_row_sum_is_named(case):
    rewards, mask, ids = case("C1")
    rewards[2, 1] = torch.nan
    with pytest.raises(InputError, match="rewards must have finite row sums, got nan in row 2 of 4"):
        agpo(rewards, mask, ids)


def test_float_group_ids_are_refused_with_shapes():
    with pytest.raises(ShapeError) as caught:
        agpo(torch.zeros(8, 512), torch.ones(8, 512), torch.zeros(8, 1))
    assert str(caught.value) == "agpo: group_ids must be int64 [8] to match rewards [8, 512], got float32 [8, 1]"


def test_rewards_of_another_length_are_refused():
    with pytest.raises(
        ShapeError, match=r"rewards must be \[4, 3\] or \[4\] to match response_mask, got float32 \[4\, 2"
    ):
        agpo(torch.zeros(4, 2), torch.ones(4, 3), torch.zeros(4, dtype=torch.int64))


def test_a_success_signal_that_is_not_bool_is_refused(case):
    with pytest.raises(ShapeError, match=r"success must be bool \[4\], got int64 \[4\]"):
        agpo(*case("C1"), success=torch.ones(4, dtype=torch.int64))


def test_impossible_constants_are_refused():
    for options in ({"negative_reward": 0.1}, {"delta": -1}, {"delta": float("inf")}, {"reward_map": "other"}):
        with pytest.raises(ValueError, match="AgpoConfig"):
            AgpoConfig(**options)


def test_options_of_another_method_are_refused(case):
    with pytest.raises(ConfigError, match="config must be AgpoConfig, got dict"):
        agpo(*case("C1"), config={"delta": 1.0})


def test_denominators_are_averaged_over_groups(case):
    rewards, _, ids = case("C3")
    # variance of s: 0.96 in group 30, zero in the four others
    expected = ((1 + 0.96) ** 0.5 + 4) / 5
    assert agpo_metrics(rewards.sum(dim=1), ids, config=AgpoConfig())["denom_mean"] == pytest.approx(expected)
