"""Group-relative methods with hand-computed values: ngrpo, bnpo, a_grae, canon_length, adora."""

import pytest
import torch

from gainful.advantage import (
    AdoraConfig,
    BnpoConfig,
    CanonLengthConfig,
    NgrpoConfig,
    a_grae,
    adora,
    bnpo,
    canon_length,
    ngrpo,
)
from gainful.errors import InputError

THREE_GROUPS = [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0]


def batch(outcomes, *sizes, lengths=None):
    """Float64 outcomes, a mask of these lengths, and contiguous groups of these sizes."""
    lengths = torch.tensor(lengths or [3] * len(outcomes))
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return torch.tensor(outcomes, dtype=torch.float64), mask, ids


def rows(out):
    return out.advantages[:, 0].tolist()


def test_ngrpo_matches_hand_computed_values(case, assert_rows):
    # C1 and one virtual 1: mean 0.6, sample variance (2 * 0.16 + 3 * ...) = 0.3
    assert_rows(ngrpo(*case("C1")).advantages, [0.730295, -1.095443, -1.095443, 0.730295])
    right, wrong = 1.054091, -0.843272
    assert_rows(ngrpo(*case("C2")).advantages, [wrong, right, wrong, wrong, right, wrong, right, wrong])
    right, wrong = 0.912869, -0.912869
    expected = [right, -0.499999, wrong, -0.499999, 0, wrong, -0.707106, 0, -0.499999, right, 0, wrong]
    assert_rows(ngrpo(*case("C3")).advantages, expected)


def test_ngrpo_gives_eight_wrong_responses_a_signal():
    assert rows(ngrpo(*batch([0] * 8, 8))) == pytest.approx([-0.333332] * 8, abs=2e-6)


def test_more_virtual_responses_weaken_right_rows():
    once = rows(ngrpo(*batch([1, 0, 0, 1], 4)))[0]
    thrice = rows(ngrpo(*batch([1, 0, 0, 1], 4), config=NgrpoConfig(virtual_count=3)))[0]
    assert 0 < thrice < once


def test_bnpo_matches_hand_computed_values():
    # rates 1/4, 2/4, 3/4: m = 0.5, v = 0.0625, k = 3, alpha = beta = 1.5
    expected = [0.680175] + [-0.226725] * 3 + [0.392699] * 2 + [-0.392699] * 2 + [0.226725] * 3 + [-0.680175]
    assert rows(bnpo(*batch(THREE_GROUPS, 4, 4, 4))) == pytest.approx(expected, abs=2e-6)


def test_bnpo_with_one_usable_group_or_equal_rates_is_the_centred_reward():
    assert rows(bnpo(*batch([1, 0, 0, 1, 1], 4, 1))) == [0.5, -0.5, -0.5, 0.5, 0]
    assert rows(bnpo(*batch([1, 0, 1, 0], 2, 2))) == [0.5, -0.5, 0.5, -0.5]


def test_bnpo_caps_the_weight_of_a_rare_group():
    outcomes = [1] + [0] * 63 + [1, 0] * 32
    found = rows(bnpo(*batch(outcomes, 64, 64), config=BnpoConfig(max_weight=0.5)))
    assert max(found) <= 0.5


def test_bnpo_maps_other_ranges_and_refuses_what_lies_outside():
    signed = [2 * x - 1 for x in THREE_GROUPS]
    config = BnpoConfig(min_reward=-1)
    assert rows(bnpo(*batch(signed, 4, 4, 4), config=config)) == rows(bnpo(*batch(THREE_GROUPS, 4, 4, 4)))
    with pytest.raises(InputError, match=r"row sums must be in \[0, 1\], got -1"):
        bnpo(*batch(signed, 4, 4, 4))
    with pytest.raises(ValueError, match="min_reward must be below max_reward"):
        BnpoConfig(min_reward=1)


def test_a_grae_matches_hand_computed_values():
    expected = [0.749997] + [-0.499998] * 3 + [0.522690] * 2 + [-1.045380] * 2 + [0.538670] * 3 + [-3.232023]
    assert rows(a_grae(*batch(THREE_GROUPS, 4, 4, 4))) == pytest.approx(expected, abs=2e-6)


def test_a_grae_refuses_rewards_outside_zero_and_one():
    with pytest.raises(InputError, match="map the reward to"):
        a_grae(*batch([-1, 1], 2))


LENGTHS = [5, 9, 3, 7, 4, 6, 8, 2]


def test_canon_length_matches_hand_computed_values():
    inputs = batch([1, 0, 1, 1, 1, 0, 0, 0], 8, lengths=LENGTHS)
    # short half: rows 7, 2, 4, 0 with mean 0.75; long half: rows 5, 3, 6, 1 with mean 0.25
    assert rows(canon_length(*inputs)) == [0.75, -0.75, 0.75, 0.25, 0.75, -0.75, -0.75, -0.25]
    biased = rows(canon_length(*inputs, config=CanonLengthConfig(length_bias=0.5)))
    assert biased == [0.875, -0.75, 0.875, -0.25, 0.875, -0.75, -0.75, -0.125]
    divided = rows(canon_length(*inputs, config=CanonLengthConfig(divide_by=8192)))
    assert divided == pytest.approx([value / 8192 for value in rows(canon_length(*inputs))])


def test_canon_length_with_equal_weights_is_dr_grpo_for_even_groups():
    outcomes = [1, 0, 1, 1, 1, 0, 0, 0.25]
    found = rows(canon_length(*batch(outcomes, 8, lengths=LENGTHS), config=CanonLengthConfig(inter_weight=0.5)))
    mean = sum(outcomes) / 8
    assert found == pytest.approx([value - mean for value in outcomes])


def test_canon_length_breaks_ties_by_row_order_and_gives_a_lone_row_zero():
    # both of length 3: row 0 is the short half, row 1 the long one
    assert rows(canon_length(*batch([1, 0, 1], 2, 1))) == [1, -1, 0]


def test_adora_matches_hand_computed_values():
    inputs = batch([1, 0, 0, 1, 1, 0, 0, 1], 4, 4, lengths=[9, 4, 6, 3, 3, 8, 9, 4])
    # first group: longest right 9 > mean wrong 5; second: 4 < 8.5
    expected = [0.866024, -0.866024, -0.866024, 0.866024, 0.086602, -0.086602, -0.086602, 0.086602]
    assert rows(adora(*inputs)) == pytest.approx(expected, abs=2e-6)


def test_adora_ignores_truncated_wrong_rows():
    inputs = batch([1, 0, 0, 1], 4, lengths=[3, 8, 9, 4])
    full, damped = 0.866024, 0.086602
    assert rows(adora(*inputs))[0] == pytest.approx(damped, abs=2e-6)
    assert rows(adora(*inputs, config=AdoraConfig(truncated_at=8)))[0] == pytest.approx(full, abs=2e-6)


def test_adora_groups_without_a_right_row_follow_no_right():
    inputs = batch([0.25, 0, 0, 0], 4)
    keep = rows(adora(*inputs, config=AdoraConfig(no_right="keep")))
    assert rows(adora(*inputs)) == pytest.approx([0.1 * value for value in keep])
    assert keep[0] == pytest.approx(1.5, abs=2e-5)


@pytest.mark.parametrize("method", [canon_length, adora])
def test_a_constant_added_to_a_group_changes_nothing_where_nothing_is_mapped(method):
    outcomes, mask, ids = batch([1, 0, 0.5, 1, 1, 0], 4, 2, lengths=[5, 9, 3, 7, 4, 6])
    success = {"success": outcomes >= 0.5} if method is adora else {}
    shifted = outcomes + torch.tensor([3.0, -2.0])[ids]
    torch.testing.assert_close(method(shifted, mask, ids, **success)[0], method(outcomes, mask, ids, **success)[0])
