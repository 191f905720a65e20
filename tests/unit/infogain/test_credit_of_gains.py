"""What gains become in the advantage: the worked group, and the policy gradient by full enumeration."""

from itertools import product

import pytest

torch = pytest.importorskip("torch")

from gainful.advantage import TurnCreditConfig, turn_credit  # noqa: E402
from gainful.infogain import turn_gains  # noqa: E402

GAINS = ((0.25, 0.5), (0.25, -0.25), (0.125,), ())
OUTCOMES = (1.0, 0.0, 0.0, 0.0)
CONTINUE = 0.6, 0.5
EARNED = 0.3, 0.8


def batch(gains):
    """One token per turn, the last of each row the answer; a turn's gain lies on its token."""
    mask, rewards = torch.zeros(len(gains), 6), torch.zeros(len(gains), 6, dtype=torch.float64)
    for row, values in enumerate(gains):
        for turn, value in enumerate(values):
            mask[row, 2 * turn] = 1
            rewards[row, 2 * turn] = value
        mask[row, 2 * len(values)] = 1
    return rewards, mask


def outcome_less_mean(outcome, group_ids):
    return outcome - outcome.mean()


def credit(gains, outcomes, **options):
    rewards, mask = batch(gains)
    ids = torch.zeros(len(gains), dtype=torch.int64)
    config = TurnCreditConfig(base="grpo", **options)
    outcome = torch.tensor(outcomes, dtype=torch.float64)
    return turn_credit(outcome, mask, ids, config=config, turn_rewards=rewards, base=outcome_less_mean).advantages


def test_credit_of_a_group_worked_out_by_hand():
    paths = [[0.0, *(-sum(values[: t + 1]) for t in range(len(values)))] for values in GAINS]
    found = credit([turn_gains(path).values for path in paths], OUTCOMES, lam=0.6)
    expected = [[1.175, 1.125, 0.75], [-0.425, -0.55, -0.25], [-0.325, -0.325], [-0.425]]
    for row, values in enumerate(expected):
        assert found[row, : 2 * len(values) : 2].tolist() == pytest.approx(values, abs=1e-6)


def trajectories():
    """Chance and gains of stopping at once, after one search, after two."""
    first, second = CONTINUE
    return [(1 - first, ()), (first * (1 - second), EARNED[:1]), (first * second, EARNED)]


def expected_gradient(baseline, num_rollouts):
    """Mean over all groups of advantage times d ln p / d logit, of both decisions."""
    gradient = [0.0, 0.0]
    for group in product(trajectories(), repeat=num_rollouts):
        chance = torch.tensor([p for p, _ in group]).prod().item()
        found = credit([values for _, values in group], [0.0] * num_rollouts, lam=1.0, baseline=baseline)
        for row, (_, values) in enumerate(group):
            for turn in range(min(len(values) + 1, 2)):
                score = 1 - CONTINUE[turn] if len(values) > turn else -CONTINUE[turn]
                gradient[turn] += chance * found[row, 2 * turn].item() * score / num_rollouts
    return gradient


def test_leaving_oneself_out_gives_the_policy_gradient_up_to_singletons():
    # true: .6 * .4 * (.3 + .5 * .8) = 0.168 and .6 * .5 * .5 * .8 = 0.120; of the second a share
    # 1 - .4**3 = 0.936 has another rollout that is still searching
    assert expected_gradient("loo_alive", 4) == pytest.approx([0.168, 0.120 * 0.936], abs=1e-7)


def test_a_mean_that_includes_oneself_shrinks_the_gradient():
    assert expected_gradient("mean_alive", 4) == pytest.approx([0.126, 0.07128], abs=1e-7)
