"""info_gain: the specified example, exact gradients, missing gains, hostile rewards."""

import itertools
import math

import pytest
import torch

from gainful.advantage import InfoGainConfig, info_gain, info_gain_metrics, turn_credit
from gainful.advantage.turns import find_turns
from gainful.carry import MARKER, carry, runs
from gainful.errors import ConfigError, InputError, MissingInputError, ShapeError


def centred_only(outcome, ids):
    """GRPO without the division by the standard deviation."""
    return outcome - torch.stack([outcome[ids == one].mean() for one in ids])


def batch_of(rows, *, tokens_per_turn=2):
    """Rewards, mask and ids of one group; a row is an outcome and the gains of its turns, None for a missing one."""
    width = max(len(gains) + 1 for _, gains in rows) * (tokens_per_turn + 1)
    rewards, masks = torch.zeros(len(rows), width, dtype=torch.float64), torch.zeros(len(rows), width, dtype=torch.long)
    for row, (outcome, gains) in enumerate(rows):
        mask = ([1] * tokens_per_turn + [0]) * (len(gains) + 1)
        masks[row, : len(mask)] = torch.tensor(mask)
        rewards[row, len(mask) - 2] = outcome
        for token, value in carry(runs(mask), gains):
            rewards[row, token] += value
    return rewards, masks, torch.zeros(len(rows), dtype=torch.long)


def by_turn(advantages, mask):
    turns = find_turns(mask)
    found = [[] for _ in mask]
    for row, start, end in zip(turns.row.tolist(), turns.start.tolist(), turns.end.tolist(), strict=True):
        assert len(set(advantages[row, start:end].tolist())) == 1
        found[row].append(advantages[row, start].item())
    return found


def turns_of(rows, base=centred_only, **options):
    inputs = batch_of(rows)
    return by_turn(info_gain(*inputs, config=InfoGainConfig(**options), base=base).advantages, inputs[1])


def assert_same(found, expected):
    assert [len(row) for row in found] == [len(row) for row in expected]
    assert list(itertools.chain(*found)) == pytest.approx(list(itertools.chain(*expected)), abs=1e-6)


E4 = [(1.0, [0.25, 0.5]), (0.0, [0.25, -0.25]), (0.0, [0.125]), (0.0, [])]
LENIENT = {"missing": {"max_rate": 1.0}}


class TestExample:
    def test_credit_per_turn(self):
        expected = [[1.175, 1.125, 0.75], [-0.425, -0.55, -0.25], [-0.325, -0.325], [-0.425]]
        assert_same(turns_of(E4), expected)

    def test_missing_belief_before_the_second_turn_of_the_second_row(self):
        rows = [E4[0], (0.0, [0.0, None]), *E4[2:]]  # the first value stands for both turns
        expected = [[1.175, 1.05, 0.75], [-0.425, -0.25, -0.25], [-0.325, -0.55], [-0.425]]
        assert_same(turns_of(rows), expected)

    def test_one_number_per_trajectory(self):
        for form, rewarded in (("trajectory_mean", (1.225, 0, 0.075, 0)), ("trajectory_sum", (1.45, 0, 0.075, 0))):
            mean = sum(rewarded) / 4
            expected = [[reward - mean] * len(turns) for reward, turns in zip(rewarded, turns_of(E4), strict=True)]
            assert_same(turns_of(E4, form=form), expected)


class TestExactGradients:
    """Expected score-function gradient over all groups of n rollouts, by enumeration."""

    @staticmethod
    def gradient(kinds, num_rollouts, **options):
        """Mean over rows of advantage times slope, for (probability, slope per turn, gains) of each kind of rollout."""
        total = torch.zeros(len(kinds[0][1]), dtype=torch.float64)
        for chosen in itertools.product(kinds, repeat=num_rollouts):
            chance = math.prod(kind[0] for kind in chosen)
            found = turns_of([(0.0, kind[2]) for kind in chosen], weight=1.0, **options)
            for advantages, (_, slopes, _) in zip(found, chosen, strict=True):
                for place, slope in enumerate(slopes):
                    if slope is not None:
                        total[place] += chance * slope * advantages[place] / num_rollouts
        return total.tolist()

    # continue with probability .6 for a gain of .3, then with .5 for .8; after a stop nothing is decided any more
    TWO = ((0.4, (-0.6, None), []), (0.3, (0.4, -0.5), [0.3]), (0.3, (0.4, 0.5), [0.3, 0.8]))

    @pytest.mark.parametrize(("baseline", "expected"), [("loo", (0.168, 0.11232)), ("mean", (0.126, 0.07128))])
    def test_two_decisions(self, baseline, expected):
        assert self.gradient(self.TWO, 4, turn_baseline=baseline) == pytest.approx(expected, abs=2e-5)

    @pytest.mark.parametrize(("baseline", "expected"), [("loo", 0.21), ("mean", 0.18375), ("per_index", 0.0)])
    def test_one_decision(self, baseline, expected):
        one = [(0.7, (-0.3,), [0.0]), (0.3, (0.7,), [1.0])]
        if baseline == "per_index":  # the gain lies in a second turn, which only those reach that went on
            one = [(0.7, (-0.3,), []), (0.3, (0.7,), [0.0, 1.0])]
        assert self.gradient(one, 8, turn_baseline=baseline) == pytest.approx([expected], abs=1e-6)


class TestLambdaZero:
    @pytest.mark.parametrize("options", [{"weight": 0.0}, {"enabled": False}])
    @pytest.mark.parametrize("form", ["turn", "trajectory_sum"])
    def test_is_the_base_bit_for_bit(self, options, form):
        rewards, mask, ids = batch_of(E4)
        outcome = torch.tensor([row[0] for row in E4], dtype=torch.float64)
        config = InfoGainConfig(form=form, **options)
        found = info_gain(rewards, mask, ids, config=config, base=centred_only)
        assert torch.equal(found.advantages, centred_only(outcome, ids)[:, None] * (mask != 0))

    def test_is_turn_credit_on_the_same_gains(self):
        rewards, mask, ids = batch_of(E4)
        turns = find_turns(mask)
        gains = torch.zeros_like(rewards)
        gains[turns.row, turns.start] = torch.tensor(
            list(itertools.chain(*([*row[1], 0.0] for row in E4))), dtype=torch.float64
        )
        found = info_gain(rewards, mask, ids, base=centred_only)
        outcome = torch.tensor([row[0] for row in E4], dtype=torch.float64)
        expected = turn_credit(outcome, mask, ids, turn_rewards=gains, base=centred_only)
        torch.testing.assert_close(found.advantages, expected.advantages)


class TestMissing:
    def test_all_missing_leaves_the_outcome_alone(self):
        rows = [(outcome, [None] * len(gains)) for outcome, gains in E4]
        expected = turns_of(E4, weight=0.0)
        for form in ("turn", "trajectory_mean", "trajectory_sum"):
            assert_same(turns_of(rows, form=form, **LENIENT), expected)

    def test_missing_is_not_zero(self):
        """A row whose gain is missing gets what its group gets on average, not what a gain of zero would."""
        known = [(0.0, [1.0]), (0.0, [1.0])]
        assert_same(turns_of([*known, (0.0, [None])], **LENIENT)[2:], [[0.0, 0.0]])
        assert_same(turns_of([*known, (0.0, [0.0])])[2:], [[-0.6, 0.0]])

    def test_missing_sum_takes_the_mean_of_its_group(self):
        rows = [(0.0, [1.0]), (0.0, [0.0]), (0.0, [None])]
        found = turns_of(rows, form="trajectory_sum", **LENIENT)
        assert_same(found, [[0.3, 0.3], [-0.3, -0.3], [0.0, 0.0]])

    def test_drop_group_leaves_other_groups_alone(self):
        rewards, mask, _ = batch_of([(0.0, [1.0]), (0.0, [None]), (0.0, [1.0]), (0.0, [0.0])])
        config = InfoGainConfig(missing={"action": "drop_group", "max_rate": 1.0})
        found = info_gain(rewards, mask, torch.tensor([1, 1, 2, 2]), config=config, base=centred_only)
        assert_same(by_turn(found.advantages, mask), [[0, 0], [0, 0], [0.6, 0], [-0.6, 0]])

    def test_a_turn_of_one_token_cannot_carry_and_is_missing(self):
        rewards, mask, ids = batch_of([(1.0, [0.5]), (0.0, [0.5])], tokens_per_turn=1)
        assert not rewards[:, :-2].any()
        with pytest.raises(MissingInputError, match="2 of 2 gains are missing, 2 of them for turns of one token"):
            info_gain(rewards, mask, ids)

    def test_stop(self):
        with pytest.raises(MissingInputError, match=r"1 of 2 gains are missing.*'stop'"):
            turns_of([(0.0, [None]), (0.0, [0.5])], missing={"action": "stop", "max_rate": 1.0})

    def test_too_many(self, caplog):
        rows = [(1.0, [None]), (0.0, [0.5]), (0.0, [0.0])]
        with pytest.raises(MissingInputError, match=r"more than missing.max_rate=0.2"):
            turns_of(rows)
        alone = turns_of(rows, missing={"on_excess": "disable_step"})
        assert_same(alone, turns_of(rows, weight=0.0))
        assert "uses the outcome alone" in caplog.text
        assert turns_of(rows, missing={"on_excess": "warn"}) != alone


class TestOptions:
    def test_discount(self):
        rows = [(0.0, [0.0, 1.0]), (0.0, [0.0, 0.0])]
        assert_same(turns_of(rows, turn_gamma=0.5), [[0.3, 0.6, 0.0], [-0.3, -0.6, 0.0]])

    def test_scale_of_a_group(self):
        rows = [(0.0, [2.0]), (0.0, [0.0])]
        assert_same(turns_of(rows, turn_scale="group_rms"), [[0.6 * math.sqrt(2), 0], [-0.6 * math.sqrt(2), 0]])
        tiny = [(0.0, [1 / 64]), (0.0, [0.0])]
        assert_same(turns_of(tiny, turn_scale="group_rms"), [[0.6 / 64 / 0.05, 0], [-0.6 / 64 / 0.05, 0]])

    def test_biased_baseline_is_announced(self, caplog):
        InfoGainConfig(turn_baseline="per_index")
        assert "biased" in caplog.text

    def test_default_base_is_the_grpo_of_the_core(self):
        found = turns_of([(1.0, []), (0.0, [])], base=None)
        assert_same(found, [[0.5 / (math.sqrt(0.5) + 1e-6)], [-0.5 / (math.sqrt(0.5) + 1e-6)]])


class TestHostileRewards:
    @pytest.mark.parametrize(
        ("token", "value"),
        [(0, 0.5), (1, 0.5), (2, 0.5), (1, math.nan), (1, math.inf), (1, 33.0), (1, MARKER)],
        ids=lambda part: str(part),
    )
    def test_what_nobody_carried_is_refused(self, token, value):
        rewards, mask, ids = batch_of([(1.0, [0.0]), (0.0, [0.25])])
        rewards[0, token] = value
        with pytest.raises(InputError, match="info_gain"):
            info_gain(rewards, mask, ids)

    def test_balanced_but_impossible_is_refused(self):
        rewards, mask, ids = batch_of([(1.0, [0.0])])
        rewards[0, 0], rewards[0, 1] = -40.0, 40.0
        with pytest.raises(InputError, match="on token 0 of row 0"):
            info_gain(rewards, mask, ids)

    def test_row_sums_are_not_enough_for_several_turns(self):
        _, mask, ids = batch_of(E4)
        with pytest.raises(ShapeError, match=r"must be \[B, T\]"):
            info_gain(torch.zeros(4), mask, ids)

    def test_options_of_others_are_refused(self):
        with pytest.raises(ConfigError, match="InfoGainConfig"):
            info_gain(*batch_of(E4), config=object())


class TestMetrics:
    def test_by_hand(self):
        rewards, mask, ids = batch_of([*E4[:3], (0.0, [None])])
        config = InfoGainConfig(**LENIENT)
        advantages = info_gain(rewards, mask, ids, config=config, base=centred_only).advantages
        found = info_gain_metrics(advantages, rewards, mask, ids, config=config)
        gains = [0.25, 0.5, 0.25, -0.25, 0.125]
        assert found["infogain/gain_mean"] == pytest.approx(sum(gains) / 5)
        assert found["infogain/negative_rate"] == pytest.approx(1 / 5)
        assert found["infogain/total_mean"] == pytest.approx((0.75 + 0.0 + 0.125) / 3)
        assert found["infogain/missing_rate"] == pytest.approx(1 / 6)
        assert found["infogain/gain_turn_2"] == pytest.approx(0.125)
        assert math.isnan(found["infogain/gain_turn_3"])
        assert found["infogain/singleton_turns"] == 0
        assert found["infogain/missing_turns"] == 1
        # 3 + 3 + 2 + 2 turns; every turn of the first row has .75, of the others .25
        assert found["infogain/adv_out_abs"] == pytest.approx((3 * 0.75 + 7 * 0.25) / 10)

    def test_without_any_turn_nothing_has_a_value(self):
        rewards, mask, ids = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long)
        found = info_gain_metrics(torch.zeros(2, 3), rewards, mask, ids, config=InfoGainConfig())
        assert math.isnan(found["infogain/gain_mean"])
        assert found["infogain/missing_turns"] == 0
