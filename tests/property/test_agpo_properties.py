"""The identities of AGPO over random groups; rewards 0/1 unless a test says otherwise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gainful.advantage import AgpoConfig, agpo, nsr
from gainful.errors import ConfigError, InputError

deltas = st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0])
negatives = st.sampled_from([-0.1, -0.5, -1.0])
outcomes = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=32)
graded = st.lists(st.integers(0, 64).map(lambda n: n / 64), min_size=1, max_size=32)


def advantages(scores, repeat=1, **options):
    rewards = torch.tensor(scores, dtype=torch.float64).repeat_interleave(repeat)[:, None]
    ids = torch.zeros(len(rewards), dtype=torch.int64)
    return agpo(rewards, torch.ones_like(rewards), ids, config=AgpoConfig(**options)).advantages[:, 0]


@given(graded, deltas)
def test_first_term_sums_to_zero(scores, delta):
    assert advantages(scores, delta=delta, negative_reward=0).sum().abs() < 1e-9


@given(graded, deltas, negatives)
def test_total_is_the_negative_reward_times_the_wrong_rows(scores, delta, negative):
    num_wrong = sum(score < 0.5 for score in scores)
    found = advantages(scores, delta=delta, negative_reward=negative).sum()
    assert found.item() == pytest.approx(negative * num_wrong, abs=1e-9)


@given(st.integers(2, 32), deltas, negatives)
def test_negatives_dominate_most_where_success_is_rare(size, delta, negative):
    ratios = []
    for num_right in range(1, size):
        found = advantages([1.0] * num_right + [0.0] * (size - num_right), delta=delta, negative_reward=negative)
        p = num_right / size
        spread = (4 * p * (1 - p) + delta**2) ** 0.5
        ratios.append((-found.clamp(max=0).sum() / found.clamp(min=0).sum()).item())
        assert ratios[-1] == pytest.approx(1 + abs(negative) * spread / (2 * p), rel=1e-9)
        assert ratios[-1] > 1 + abs(negative) * delta / 2
    assert ratios == sorted(ratios, reverse=True)


@given(st.integers(1, 32), deltas, negatives)
def test_uniform_groups_carry_the_negative_reward_or_nothing(size, delta, negative):
    options = {"delta": delta, "negative_reward": negative}
    assert torch.equal(advantages([0.0] * size, **options), torch.full((size,), negative, dtype=torch.float64))
    assert torch.equal(advantages([1.0] * size, **options), torch.zeros(size, dtype=torch.float64))


@given(st.integers(2, 32), deltas)
def test_pull_of_right_rows_falls_with_success_and_is_bounded(size, delta):
    pulls = [
        advantages([1.0] * num_right + [0.0] * (size - num_right), delta=delta)[0].item()
        for num_right in range(1, size)
    ]
    assert pulls == sorted(pulls, reverse=True)
    assert len(set(pulls)) == len(pulls)
    assert all(0 < pull <= 2 / delta for pull in pulls)


@given(
    st.lists(st.sampled_from([-1.0, -0.5, 0.25, 1.0]), min_size=1, max_size=16), deltas, st.sampled_from([0.5, 2, 8])
)
def test_first_term_ignores_the_scale_of_signed_rewards(scores, delta, scale):
    scores = [*scores, -1.0]  # one below zero, so that the gate can open
    one = advantages(scores, delta=delta, negative_reward=0, reward_map="signed")
    scaled = advantages(
        [scale * score for score in scores], delta=scale * delta, negative_reward=0, reward_map="signed"
    )
    torch.testing.assert_close(scaled, one, atol=1e-9, rtol=0)


@given(graded, deltas, negatives, st.integers(2, 5))
def test_repeating_every_row_changes_nothing(scores, delta, negative, times):
    options = {"delta": delta, "negative_reward": negative}
    repeated = advantages(scores, repeat=times, **options)
    torch.testing.assert_close(repeated[::times], advantages(scores, **options), atol=1e-9, rtol=0)


@given(outcomes.filter(lambda scores: len(set(scores)) == 2))
def test_without_constants_it_is_grpo_up_to_the_sample_correction(scores):
    n = len(scores)
    rewards = torch.tensor(scores, dtype=torch.float64)
    grpo = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    found = advantages(scores, delta=0, negative_reward=0)
    torch.testing.assert_close(found, grpo * (n / (n - 1)) ** 0.5, atol=1e-4, rtol=0)


@given(outcomes)
def test_with_a_huge_delta_it_is_nsr(scores):
    found = advantages(scores, delta=1e6)
    rewards = torch.tensor(scores, dtype=torch.float64)[:, None]
    expected = nsr(rewards, torch.ones_like(rewards), torch.zeros(len(scores), dtype=torch.int64)).advantages[:, 0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@given(outcomes.filter(lambda scores: 0.0 in scores))
def test_zero_one_rewards_never_pass_as_signed(scores):
    with pytest.raises(InputError):
        advantages(scores, reward_map="signed")
    with pytest.raises(InputError):
        advantages([2 * score - 1 for score in scores])


def test_a_positive_negative_reward_is_refused():
    with pytest.raises(ValueError, match="negative_reward"):
        AgpoConfig(negative_reward=0.5)
    assert issubclass(ConfigError, ValueError)
