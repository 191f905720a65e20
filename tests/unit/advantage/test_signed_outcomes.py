"""psr, nsr and w_reinforce."""

import pytest
import torch

from gainful.advantage import NsrConfig, PsrConfig, WReinforceConfig, nsr, psr, w_reinforce

RIGHT_OF_C3 = [1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0]


def test_c1_matches_hand_computed_values(case, assert_rows):
    assert_rows(psr(*case("C1")).advantages, [1, 0, 0, 1])
    assert_rows(nsr(*case("C1")).advantages, [0, -1, -1, 0])
    assert_rows(w_reinforce(*case("C1")).advantages, [0.1, -1, -1, 0.1])


def test_mixed_groups_match_hand_computed_values(case, assert_rows):
    assert_rows(psr(*case("C3")).advantages, RIGHT_OF_C3)
    assert_rows(nsr(*case("C3")).advantages, [right - 1 for right in RIGHT_OF_C3])
    assert_rows(w_reinforce(*case("C3")).advantages, [0.1 if right else -1 for right in RIGHT_OF_C3])


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.7, 1.0])
def test_w_reinforce_is_the_weighted_sum_of_psr_and_nsr(case, weight):
    found = w_reinforce(*case("C4"), config=WReinforceConfig(positive_weight=weight)).advantages
    assert torch.equal(found, weight * psr(*case("C4")).advantages + nsr(*case("C4")).advantages)


def test_weight_one_is_the_signed_reward(case):
    rewards, mask, ids = case("C3")
    found = w_reinforce(rewards, mask, ids, config=WReinforceConfig(positive_weight=1)).advantages
    assert torch.equal(found, (2 * rewards.sum(dim=1) - 1)[:, None].expand_as(found))


def test_subset_scales_as_if_the_other_rows_were_dropped(case, assert_rows):
    rewards, mask, ids = case("C1")
    mask[0] = torch.tensor([1, 0, 0])  # tokens: 1 + 3 + 3 + 3 = 10, of right rows 1 + 3, of wrong rows 6
    found = psr(rewards, mask, ids, config=PsrConfig(denominator="subset")).advantages
    assert_rows(found[3:], [10 / 4])
    assert_rows(nsr(rewards, mask, ids, config=NsrConfig(denominator="subset")).advantages[1:3], [-10 / 6] * 2)
    kept = rewards.sum(dim=1) == 1
    token_mean_of_subset = psr(rewards[kept], mask[kept], ids[kept]).advantages.sum() / mask[kept].sum()
    assert (found.sum() / mask.sum()).item() == pytest.approx(token_mean_of_subset.item())


def test_subset_without_a_kept_row_gives_zeros(case):
    rewards, mask, ids = case("C1")
    found = psr(torch.zeros_like(rewards), mask, ids, config=PsrConfig(denominator="subset")).advantages
    assert torch.equal(found, torch.zeros_like(found))


def test_threshold_counts_as_right(case, assert_rows):
    assert_rows(psr(*case("C4"), config=PsrConfig(success_threshold=0.25)).advantages, [1, 1, 0, 1])


def test_success_signal_replaces_the_threshold(case, assert_rows):
    success = torch.tensor([False, True, False, False])
    assert_rows(w_reinforce(*case("C1"), success=success).advantages, [-1, 0.1, -1, -1])
