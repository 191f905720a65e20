"""Every estimator against plain float64 loops over rows, on a thousand random batches of float32."""

import itertools
import math
import statistics

import pytest
import torch

import gainful.advantage
from gainful.builtin import ESTIMATORS
from gainful.testing import random_batch

EPSILON = 1e-6


class Row:
    """One response in plain Python: rewards and mask by token, outcome, length, and its turns."""

    def __init__(self, rewards, mask):
        self.rewards, self.mask = rewards, mask
        self.outcome, self.length = sum(rewards), sum(mask)
        self.right = self.outcome >= 0.5
        self.turns = self._turns()
        self.turn_rewards = [sum(turn_rewards) for turn_rewards in self._rewards_by_turn()]

    def _turns(self):
        runs, position = [], 0
        for value, run in itertools.groupby(self.mask):
            length = len(list(run))
            if value:
                runs.append((position, position + length))
            position += length
        return runs

    def _rewards_by_turn(self):
        found = [[] for _ in self.turns]
        for token, reward in enumerate(self.rewards):
            started = [index for index, (start, _) in enumerate(self.turns) if start <= token]
            if found:
                found[started[-1] if started else 0].append(reward)
        return found

    def to_go(self, rewards, gamma):
        return [sum(gamma ** (k - j) * rewards[k] for k in range(j, len(rewards))) for j in range(len(rewards))]


def std(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def grpo(group):
    outcomes = [row.outcome for row in group]
    mean, spread = statistics.fmean(outcomes), std(outcomes)
    return [(outcome - mean) / (spread + EPSILON) for outcome in outcomes]


def agpo_values(outcomes):
    signed = [2 * outcome - 1 for outcome in outcomes]
    mean = statistics.fmean(signed)
    variance = statistics.fmean((s - mean) ** 2 for s in signed)
    return [(s - mean) / math.sqrt(variance + 1) - (s < 0) for s in signed]


def ngrpo(group, _):
    outcomes = [row.outcome for row in group]
    mean, spread = statistics.fmean([*outcomes, 1.0]), std([*outcomes, 1.0])
    return [(outcome - mean) / (spread + EPSILON) for outcome in outcomes]


def rate(group):
    return statistics.fmean(row.outcome for row in group)


def beta_log_density(x, a, b):
    if (x == 0 and a > 1) or (x == 1 and b > 1):
        return -math.inf
    powers = sum(power * math.log(base) for base, power in ((x, a - 1), (1 - x, b - 1)) if power)
    return powers + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)


def bnpo(group, groups):
    rates = [rate(other) for other in groups if len(other) > 1]
    a = b = 1.0
    if len(rates) > 1 and statistics.variance(rates) >= 1e-6:
        m = statistics.fmean(rates)
        k = m * (1 - m) / statistics.variance(rates) - 1
        a, b = max(1, 1 + k * m / 3), max(1, 1 + k * (1 - m) / 3)
    weight = 0.0 if len(group) == 1 else math.exp(min(math.log(1e6), -beta_log_density(rate(group), a, b)))
    return [(row.outcome - rate(group)) * weight for row in group]


def a_grae(group, groups):
    progress = statistics.fmean(rate(other) for other in groups)
    root = math.sqrt(statistics.fmean(row.right for row in group))
    found = []
    for a in grpo(group):
        value = (1 - progress) * a / 2 / (1 - root + EPSILON) + progress * a / 2 / (root + EPSILON)
        found.append(value * min(1, progress) if value > 0 else value)
    return found


def canon_length(group, _):
    if len(group) == 1:
        return [0.0]
    short = sorted(range(len(group)), key=lambda index: group[index].length)[: len(group) // 2]
    mean_short = statistics.fmean(group[index].outcome for index in short)
    mean_long = statistics.fmean(row.outcome for index, row in enumerate(group) if index not in short)
    return [row.outcome - (mean_long if index in short else mean_short) for index, row in enumerate(group)]


def adora(group, _):
    right, wrong = ([row.length for row in group if row.right is side] for side in (True, False))
    paid = bool(right) and (not wrong or max(right) > statistics.fmean(wrong))
    return [value * (1 if paid else 0.1) for value in grpo(group)]


def aspo_shape(group, _):
    counted = [row for row in group if row.right and len(row.turns) > 1]

    def position(row):
        return row.turns[0][1] - row.turns[0][0]

    def length(row):
        return row.turns[-1][1] - row.turns[0][0]

    found = []
    for row, value in zip(group, grpo(group), strict=True):
        if row in counted:
            mean_position = statistics.fmean(position(other) for other in counted)
            mean_length = statistics.fmean(length(other) for other in counted)
            shift = -2 * (position(row) - mean_position) / mean_length
            bound = 0.7 * abs(value)
            value += min(bound, max(-bound, shift))
        found.append(value)
    return found


def turn_traj(group, _):
    to_go = [row.to_go(row.turn_rewards, 0.9) for row in group]
    found = []
    for own, trajectory in zip(to_go, grpo(group), strict=True):
        values = []
        for j, value in enumerate(own):
            peers = [other[j] for other in to_go if len(other) > j]
            values.append((trajectory + (value - statistics.fmean(peers)) / (std(peers) + EPSILON)) / 2)
        found.append(values)
    return found


def turn_credit(group, _):
    outcomes = [row.turn_rewards[-1] if row.turns else row.outcome for row in group]
    to_go = [row.to_go([*row.turn_rewards[:-1], 0.0] if row.turns else [], 1.0) for row in group]
    found = []
    for own, base in zip(to_go, agpo_values(outcomes), strict=True):
        values = []
        for j, value in enumerate(own):
            others = [other[j] for other in to_go if other is not own and len(other) > j]
            values.append(base + 0.6 * (value - statistics.fmean(others) if others else 0.0))
        found.append(values)
    return found


REFERENCES = {
    "agpo": lambda group, _: agpo_values([row.outcome for row in group]),
    "psr": lambda group, _: [float(row.right) for row in group],
    "nsr": lambda group, _: [float(row.right) - 1 for row in group],
    "w_reinforce": lambda group, _: [0.1 if row.right else -1.0 for row in group],
    **{fn.__name__: fn for fn in (ngrpo, bnpo, a_grae, canon_length, adora, aspo_shape, turn_traj, turn_credit)},
}


def by_loops(reference, batch):
    rows = [Row(*row) for row in zip(batch.rewards.double().tolist(), batch.response_mask.tolist(), strict=True)]
    ids = batch.group_ids.tolist()
    members = {group: [row for row, other in enumerate(ids) if other == group] for group in ids}
    groups = [[rows[row] for row in group] for group in members.values()]
    expected = torch.zeros(batch.response_mask.shape, dtype=torch.float64)
    for places, group in zip(members.values(), groups, strict=True):
        for place, value in zip(places, reference(group, groups), strict=True):
            turns = rows[place].turns
            for (start, end), level in zip(
                turns, value if isinstance(value, list) else [value] * len(turns), strict=True
            ):
                expected[place, start:end] = level
    return expected


def test_every_built_in_has_a_reference():
    assert set(REFERENCES) == set(ESTIMATORS)


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_a_float64_loop(name):
    estimator = getattr(gainful.advantage, name)
    generator = torch.Generator().manual_seed(7)
    for _ in range(1000):
        batch = random_batch(generator, num_groups=3, num_tokens=7)
        expected = by_loops(REFERENCES[name], batch)
        found = estimator(batch.rewards, batch.response_mask, batch.group_ids).advantages.double()
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-6)
