"""Every estimator against plain float64 loops over rows, on a thousand random batches of float32."""

import itertools
import math
import statistics
from dataclasses import replace

import pytest
import torch

from gainful.builtin import ESTIMATORS
from gainful.carry import MARKER, carry, runs
from gainful.catalog import catalog
from gainful.testing import random_batch

EPSILON = 1e-6


class Row:
    """One response in plain Python: rewards, mask and signals by token, outcome, length, and its turns."""

    def __init__(self, rewards, mask, signals):
        self.rewards, self.mask, self.signals = rewards, mask, signals
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

    def policy_values(self, signal):
        return [value for value, policy in zip(self.signals[signal], self.mask, strict=True) if policy]

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


def canon(group, metric):
    if len(group) == 1:
        return [0.0]
    low = sorted(range(len(group)), key=lambda index: metric(group[index]))[: len(group) // 2]
    mean_low = statistics.fmean(group[index].outcome for index in low)
    mean_high = statistics.fmean(row.outcome for index, row in enumerate(group) if index not in low)
    return [row.outcome - (mean_high if index in low else mean_low) for index, row in enumerate(group)]


def canon_length(group, _):
    return canon(group, lambda row: row.length)


def canon_entropy(group, _):
    return canon(group, lambda row: statistics.fmean(row.policy_values("entropy") or [0.0]))


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


def z_scores(values):
    return [(value - statistics.fmean(values)) / (std(values) + EPSILON) for value in values]


def gigpo(group, _):
    to_go = []
    for row in group:
        own = [0.0] * len(row.turns)
        for token, reward in enumerate(row.signals["turn_rewards"]):
            if row.turns:
                own[max(0, sum(start <= token for start, _ in row.turns) - 1)] += reward
        to_go.append(row.to_go(own, 0.95))
    anchors = [[row.signals["anchor_ids"][start] for start, _ in row.turns] for row in group]
    by_anchor = {}
    for own, states in zip(to_go, anchors, strict=True):
        for value, state in zip(own, states, strict=True):
            by_anchor.setdefault(state, []).append(value)
    mean = statistics.fmean(row.outcome for row in group)
    found = []
    for row, own, states in zip(group, to_go, anchors, strict=True):
        steps = [
            value - statistics.fmean(by_anchor[state]) if state >= 0 else 0.0
            for value, state in zip(own, states, strict=True)
        ]
        found.append([row.outcome - mean + step for step in steps])
    return found


def hdpo(group, _):
    economies = iter(z_scores([1 / (1 + row.signals["tool_calls"]) for row in group if row.right] or [0.0]))
    return [value + (0.15 * next(economies) if row.right else 0) for row, value in zip(group, grpo(group), strict=True)]


def copo(group, groups):
    answers = [row.signals["answer_ids"] for row in group]
    shares = [answers.count(answer) / len(answers) for answer in set(answers)]
    weight = 1 / (1 + math.exp(-20 * (-sum(share * math.log2(share) for share in shares) - 0.5)))
    rates = [statistics.fmean(row.right for row in other) for other in groups]
    between = z_scores(rates)[groups.index(group)]
    return [weight * value + (1 - weight) * between for value in grpo(group)]


def arm(group, _):
    mixed = len({row.right for row in group}) == 2
    found = []
    for row, value in zip(group, grpo(group), strict=True):
        lowest = sorted(row.policy_values("old_log_probs"))[: math.ceil(0.2 * row.length)] or [0.0]
        gap = row.signals["prompt_confidence"] - math.exp(statistics.fmean(lowest))
        found.append(value + (0.5 * gap if mixed else 0))
    return found


def spae(group, _):
    found = []
    for row, outcome in zip(group, grpo(group), strict=True):
        values, settled, before, begin = [0.0] * len(row.mask), False, 0.0, 0
        for token, (conf, acc) in enumerate(zip(row.signals["step_conf"], row.signals["step_acc"], strict=True)):
            values[token] = outcome * (0.5 if settled else 1)
            if not math.isnan(conf):
                potential = 1.5 * acc * conf + 0.5 * acc - conf
                for place in range(begin, token + 1):
                    values[place] += 0.5 * (potential - before)
                settled, before, begin = settled or potential >= 0.9, potential, token + 1
        found.append(tuple(values))
    return found


def e_grpo(group, _):
    best = max(row.signals["entity_match"] for row in group) or 1
    rewards = [1 if row.right else 0.3 * row.signals["entity_match"] / best for row in group]
    return z_scores([reward * row.signals["format_ok"] for reward, row in zip(rewards, group, strict=True)])


def carried(row):
    """Gain of each turn, None for a missing one; 0 for the last."""
    gains = [row.rewards[end - 1] if end - start > 1 else None for start, end in row.turns[:-1]]
    return [*(None if gain == MARKER else gain for gain in gains), 0.0] if row.turns else []


def info_gain(group, _):
    gains = [carried(row) for row in group]
    to_go = [
        [None if own[j] is None else sum(gain or 0.0 for gain in own[j:]) for j in range(len(own))] for own in gains
    ]
    found = []
    for own, base in zip(to_go, grpo(group), strict=True):
        values = []
        for j, value in enumerate(own):
            others = [other[j] for other in to_go if other is not own and len(other) > j and other[j] is not None]
            known = value is not None and others
            values.append(base + (0.6 * (value - statistics.fmean(others)) if known else 0.0))
        found.append(values)
    return found


def with_gains(batch, generator):
    """Outcomes last, and a gain, sometimes missing, on each turn before the last."""
    rewards = torch.zeros_like(batch.rewards)
    rewards[:, -1] = batch.rewards.sum(dim=1)
    for row, mask in enumerate(batch.response_mask.tolist()):
        turns = runs(mask)
        drawn = uniform((max(len(turns) - 1, 0),), generator).tolist()
        for token, value in carry(turns, [None if value < 0.2 else 2 * value - 1 for value in drawn]):
            rewards[row, token] += value
    return replace(batch, rewards=rewards)


def uniform(shape, generator):
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def probes(shape, generator):
    """Values on every third token or so, the same for all signals of one shape."""
    probed = (7 * torch.arange(shape[0])[:, None] + 3 * torch.arange(shape[1])) % 4 == 0
    return uniform(shape, generator).sqrt().masked_fill(~probed, torch.nan)


SIGNALS = {
    "anchor_ids": lambda shape, generator: torch.randint(-1, 3, shape, generator=generator),
    "answer_ids": lambda shape, generator: torch.randint(-1, 2, shape[:1], generator=generator),
    "entity_match": lambda shape, generator: uniform(shape[:1], generator),
    "entropy": uniform,
    "format_ok": lambda shape, generator: uniform(shape[:1], generator) < 0.8,
    "old_log_probs": lambda shape, generator: uniform(shape, generator).log(),
    "prompt_confidence": lambda shape, generator: uniform(shape[:1], generator),
    "step_acc": probes,
    "step_conf": probes,
    "tool_calls": lambda shape, generator: torch.randint(0, 4, shape[:1], generator=generator),
    "turn_rewards": uniform,
}
PREPARE = {"info_gain": with_gains}
OPTIONS = {"info_gain": {"missing": {"max_rate": 1.0}}, "arm": {"alpha": 0.5}, "spae": {"weight": 0.5, "damping": 0.5}}
REFERENCES = {
    "agpo": lambda group, _: agpo_values([row.outcome for row in group]),
    "psr": lambda group, _: [float(row.right) for row in group],
    "nsr": lambda group, _: [float(row.right) - 1 for row in group],
    "w_reinforce": lambda group, _: [0.1 if row.right else -1.0 for row in group],
    **{
        fn.__name__: fn
        for fn in (ngrpo, bnpo, a_grae, canon_length, adora, aspo_shape, turn_traj, turn_credit, info_gain)
    },
    **{fn.__name__: fn for fn in (gigpo, canon_entropy, hdpo, copo, arm, spae, e_grpo)},
}


def by_loops(reference, batch, signals):
    columns = {name: signal.tolist() for name, signal in signals.items()}
    by_row = [{name: column[row] for name, column in columns.items()} for row in range(len(batch.rewards))]
    tokens = batch.rewards.double().tolist(), batch.response_mask.tolist()
    rows = [Row(*row) for row in zip(*tokens, by_row, strict=True)]
    ids = batch.group_ids.tolist()
    members = {group: [row for row, other in enumerate(ids) if other == group] for group in ids}
    groups = [[rows[row] for row in group] for group in members.values()]
    expected = torch.zeros(batch.response_mask.shape, dtype=torch.float64)
    for places, group in zip(members.values(), groups, strict=True):
        for place, value in zip(places, reference(group, groups), strict=True):
            turns = rows[place].turns
            if isinstance(value, tuple):  # one value a token
                expected[place] = torch.tensor(value, dtype=torch.float64) * batch.response_mask[place]
                continue
            for (start, end), level in zip(
                turns, value if isinstance(value, list) else [value] * len(turns), strict=True
            ):
                expected[place, start:end] = level
    return expected


def test_every_built_in_has_a_reference():
    assert set(REFERENCES) == set(ESTIMATORS)


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_a_float64_loop(name):
    spec = catalog().advantage(name)
    config = spec.config_cls(**OPTIONS.get(name, {}))
    wanted = [*spec.needs, *({"format_ok"} & {*spec.optional})]
    generator = torch.Generator().manual_seed(7)
    for _ in range(1000):
        batch = random_batch(generator, num_groups=3, num_tokens=7)
        batch = PREPARE[name](batch, generator) if name in PREPARE else batch
        signals = {signal: SIGNALS[signal](batch.response_mask.shape, generator) for signal in wanted}
        expected = by_loops(REFERENCES[name], batch, signals)
        found = spec.fn(batch.rewards, batch.response_mask, batch.group_ids, config=config, **signals)[0].double()
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-6)
