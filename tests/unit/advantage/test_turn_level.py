"""turns, turn_credit, turn_traj and aspo_shape."""

import itertools
import math

import pytest
import torch

from gainful.advantage import (
    TurnCreditConfig,
    TurnTrajConfig,
    agpo,
    aspo_shape,
    ngrpo,
    nsr,
    psr,
    rows,
    turn_credit,
    turn_traj,
    w_reinforce,
)
from gainful.advantage.groups import group_rows
from gainful.advantage.turns import find_turns
from gainful.errors import InputError, ShapeError


def mask_of(text):
    return torch.tensor([[int(cell) for cell in row] for row in text.split()])


def place(mask, values):
    """Rewards [B, T] float64 with one value on the first token of each turn, in the order of turns."""
    turns = find_turns(mask)
    rewards = torch.zeros(mask.shape, dtype=torch.float64)
    rewards[turns.row, turns.start] = torch.tensor(values, dtype=torch.float64)
    return rewards


def by_turn(advantages, mask):
    """One list per row with the value of each turn; checks that turns are constant and gaps are zero."""
    turns = find_turns(mask)
    assert not advantages[mask == 0].any()
    found = [[] for _ in mask]
    for row, start, end in zip(turns.row.tolist(), turns.start.tolist(), turns.end.tolist(), strict=True):
        assert len(set(advantages[row, start:end].tolist())) == 1
        found[row].append(advantages[row, start].item())
    return found


def assert_turns(advantages, mask, expected):
    found = by_turn(advantages, mask)
    wanted = [[float(value) for value in row.split(",") if value.strip()] for row in expected.split(";")]
    assert [len(row) for row in found] == [len(row) for row in wanted]
    assert list(itertools.chain(*found)) == pytest.approx(list(itertools.chain(*wanted)), abs=2e-6)


class U1:
    mask = mask_of("11001101 11101100 11110000 11011000")
    ids = torch.tensor([4] * 4)
    outcome = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    turn_rewards = torch.zeros(4, 8, dtype=torch.float64)
    turn_rewards[0, 2], turn_rewards[0, 5], turn_rewards[1, 2] = 0.2, -0.1, 0.5  # position 2 is a tool's token
    inputs = outcome, mask, ids


class U2:
    mask = mask_of("110110 101011 111000 110011 100100 011011 111111 000000")
    ids = torch.tensor([1, 2, 1, 1, 2, 2, 1, 2])
    outcome = torch.tensor([1.0, 0, 0, 1, 1, 1, 0, 0], dtype=torch.float64)
    turn_rewards = place(mask, [0.4, 0, 0.1, 0.3, 0, 0, -0.2, 0, 0.6, 0, 0.25, 0, 0])


class U3:
    mask = mask_of(" ".join({3: "10101", 2: "10100", 1: "10000"}[turns] for turns in (3, 2, 1, 2, 3, 1, 3, 2)))
    ids = torch.zeros(8, dtype=torch.int64)
    outcome = torch.tensor([1.0, 0, 0, 1, 1, 0, 0, 1], dtype=torch.float64)
    turn_rewards = place(mask, [0.1, 0.2, 0, 0.3, 0, 0, 0, 0, -0.1, 0.4, 0, 0, 0.5, -0.2, 0, 0.2, 0])


def credit(unit, **options):
    inputs = unit.outcome, unit.mask, unit.ids
    return turn_credit(*inputs, config=TurnCreditConfig(**options), turn_rewards=unit.turn_rewards).advantages


def turn_part(unit, **options):
    """A_turn alone: what lam 1 adds to the base."""
    base = agpo(unit.outcome, unit.mask, unit.ids).advantages
    return (credit(unit, lam=1.0, **options) - base) * (unit.mask != 0)


@pytest.fixture(params=[2**14, 8, 4], ids=["one block", "two rows", "one row"])
def _blocks(request, monkeypatch):
    monkeypatch.setattr(rows, "_BLOCK_ELEMENTS", request.param)


@pytest.mark.usefixtures("_blocks")
def test_turns_are_the_runs_of_the_mask():
    turns = find_turns(mask_of("0110 1011 0000 1111"))
    assert turns.row.tolist() == [0, 1, 1, 3]
    assert turns.start.tolist() == [1, 0, 2, 0]
    assert turns.end.tolist() == [3, 1, 4, 4]
    assert turns.count.tolist() == [1, 2, 0, 1]
    assert turns.position.tolist() == [0, 0, 1, 0]


@pytest.mark.usefixtures("_blocks")
def test_rewards_count_for_the_turn_they_are_in_or_follow():
    turns = find_turns(mask_of("0110 1011 0000 1001"))
    rewards = torch.tensor([[1.0, 0, 2, 4], [0, 8, 0, 16], [32, 0, 0, 0], [0, 0, 64, 128]])
    # row 0: before its first turn counts there; row 2 has no turn; row 3: the tool's 64 belongs to its first turn
    assert turns.sums(rewards).tolist() == [7, 8, 16, 64, 128]


@pytest.mark.usefixtures("_blocks")
def test_values_are_added_on_their_turns_only():
    mask = mask_of("0110 1011 0000 1001")
    out = torch.ones(4, 4)
    find_turns(mask).add_to(out, torch.tensor([1.0, 2, 3, 4, 5]))
    assert out.tolist() == [[1, 2, 2, 1], [3, 1, 4, 4], [1, 1, 1, 1], [5, 1, 1, 6]]


def test_no_rows_have_no_turns():
    turns = find_turns(torch.zeros(0, 5))
    assert len(turns.row) == len(turns.count) == 0


def test_turn_part_matches_hand_computed_values():
    assert_turns(turn_part(U1), U1.mask, "-0.066667, -0.1, 0; 0.466667, 0.05; -0.2; -0.2, 0.05")
    expected = "-0.05, -0.066667, 0; 0.35, 0.033333; -0.15; -0.15, 0.033333"
    assert_turns(turn_part(U1, baseline="mean_alive"), U1.mask, expected)
    assert_turns(turn_part(U1, gamma=0.9), U1.mask, "-0.056667, -0.1, 0; 0.463333, 0.05; -0.203333; -0.203333, 0.05")
    expected = "0.466667, 0; -0.025, 0.3, 0; -0.066667; -0.333333, 0; 0.275, -0.15; -0.25, -0.15; -0.066667;"
    assert_turns(turn_part(U2), U2.mask, expected)
    expected = (
        "0.142857, 0.16, 0; 0.142857, -0.08; -0.2; -0.2, -0.08; 0.142857, 0.4, 0; -0.2; 0.142857, -0.32, 0; "
        "0.028571, -0.08"
    )
    assert_turns(turn_part(U3), U3.mask, expected)


def test_additive_matches_hand_computed_values():
    expected = "0.344631, 0.327964, 0.377964; -1.900560, -2.108893; 0.277964; 0.277964, 0.402964"
    assert_turns(credit(U1, lam=0.5), U1.mask, expected)
    expected = (
        "1.173773, 0.707107; -1.732107, -1.407107, -1.707107; -1.773773; 0.373773, 0.707107; 0.982107, 0.557107; "
        "0.457107, 0.557107; -1.773773;"
    )
    assert_turns(credit(U2, lam=1), U2.mask, expected)
    expected = (
        "0.778535, 0.787107, 0.707107; -1.635678, -1.747107; -1.807107; 0.607107, 0.667107; "
        "0.778535, 0.907107, 0.707107; -1.807107; -1.635678, -1.867107, -1.707107; 0.721392, 0.667107"
    )
    assert_turns(credit(U3, lam=0.5), U3.mask, expected)


def test_reward_to_go_matches_hand_computed_values():
    expected = "0.266667, 0.4, 0; -0.533333, -0.95; 0.133333; 0.133333, 0.55"
    assert_turns(credit(U1, mode="reward_to_go"), U1.mask, expected)


def test_trajectory_mean_hands_the_base_outcome_and_mean_turn_reward():
    mixed = torch.tensor([1.025, 0.25, 1.0, 1.0], dtype=torch.float64)
    expected = ngrpo(mixed, U1.mask, U1.ids).advantages
    found = credit(U1, mode="trajectory_mean", base="ngrpo", lam=0.5)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_one_dense_tensor_is_split_at_the_last_turn():
    dense = U1.turn_rewards.clone()
    last = torch.tensor([7, 5, 3, 4])
    dense[torch.arange(4), last] += U1.outcome
    dense[2, 3] -= 0.25
    dense[2, 7] += 0.25  # behind the last turn: still the outcome
    found = turn_credit(dense, U1.mask, U1.ids, config=TurnCreditConfig(lam=0.5)).advantages
    torch.testing.assert_close(found, credit(U1, lam=0.5), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("base", "function"),
    [("agpo", agpo), ("ngrpo", ngrpo), ("nsr", nsr), ("psr", psr), ("w_reinforce", w_reinforce)],
)
@pytest.mark.parametrize("mode", ["additive", "trajectory_mean"])
def test_weight_zero_is_the_base_bit_for_bit_whatever_the_turn_rewards(base, function, mode):
    wild = torch.full_like(U1.turn_rewards, torch.nan)
    found = turn_credit(*U1.inputs, config=TurnCreditConfig(base=base, mode=mode, lam=0), turn_rewards=wild)
    assert torch.equal(found.advantages, function(*U1.inputs).advantages)


def test_a_hosts_base_is_given_one_outcome_a_row_wherever_the_rewards_lie():
    rewards = torch.zeros(U1.mask.shape, dtype=torch.float64)
    rewards[:, 0], rewards[:, -1] = -1.0, U1.outcome + 1.0
    found = turn_credit(
        rewards,
        *U1.inputs[1:],
        config=TurnCreditConfig(lam=0),
        turn_rewards=U1.turn_rewards,
        base=lambda outcome, group_ids: outcome - group_ids,
    )
    assert torch.equal(found.advantages, (U1.outcome - U1.ids)[:, None] * (U1.mask != 0))


def test_options_reach_the_base():
    found = credit(U1, lam=0, base_options={"delta": 0.5})
    assert not torch.equal(found, agpo(*U1.inputs).advantages)
    with pytest.raises(ValueError, match="base_options: unknown option 'dleta' for agpo; did you mean 'delta'"):
        TurnCreditConfig(base_options={"dleta": 0.5})
    with pytest.raises(ValueError, match="choose another mode"):
        TurnCreditConfig(mode="reward_to_go", lam=0)


def test_rows_with_unknown_turn_rewards_take_no_part_and_are_not_read():
    broken = U1.turn_rewards.clone()
    broken[1] = torch.nan
    valid = torch.tensor([True, False, True, True])
    config = TurnCreditConfig(lam=1.0)
    found = turn_credit(*U1.inputs, config=config, turn_rewards=broken, turn_valid=valid).advantages
    base = agpo(*U1.inputs).advantages
    assert torch.equal(found[1], base[1])
    # turn 0 of row 0: G = 0.1 against 0 and 0; turn 1: -0.1 against 0
    assert by_turn(found - base, U1.mask)[0] == pytest.approx([0.1, -0.1, 0])
    with pytest.raises(InputError, match="turn_valid=False"):
        turn_credit(*U1.inputs, config=config, turn_rewards=broken)


def test_outcomes_without_turn_rewards_are_refused():
    with pytest.raises(ShapeError, match=r"rewards must be \[B, T\] and hold them too"):
        turn_credit(*U1.inputs)


def test_turn_traj_matches_hand_computed_values():
    dense = U1.turn_rewards.clone()
    dense[torch.arange(4), torch.tensor([7, 5, 3, 4])] += U1.outcome
    found = turn_traj(dense, U1.mask, U1.ids, config=TurnTrajConfig(gamma=0.9)).advantages
    expected = "0.569984, 0.558255, 0.369273; -1.474485, -1.305492; 0.563757; 0.340745, 0.562600"
    assert_turns(found, U1.mask, expected)
    with pytest.raises(ShapeError, match="with a reward per turn"):
        turn_traj(*U1.inputs)


def test_aspo_shape_matches_hand_computed_values(assert_rows):
    outcome = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    found = aspo_shape(outcome, U1.mask, U1.ids).advantages[:, 0:1]
    # right rows with a call: pos 2, 3, 2 with mean 7/3; L 8, 6, 5 with mean 19/3
    assert_rows(found, [0.605262, 0.289473, -1.499997, 0.605262])


def test_aspo_shape_takes_given_positions_and_bounds_the_shift():
    outcome = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    positions = torch.tensor([0, 1000, -1, 0])
    found = aspo_shape(outcome, U1.mask, U1.ids, tool_position=positions).advantages[:, 0]
    assert found.tolist() == pytest.approx([0.85, 0.15, -1.5, 0.85], abs=1e-5)
    with pytest.raises(ShapeError, match=r"tool_position must be int64 \[4\], got float32 \[4\]"):
        aspo_shape(outcome, U1.mask, U1.ids, tool_position=positions.float())


def expected_gradient(group_size, s, returns, estimate):
    """Exact mean over all groups of the summed credit times d log pi, per row.

    A row stops after turn 1, or goes on with probability s; `returns` are what turns 2, 3, ... earn. Each decision to
    go on has d log pi = 1 - s, each to stop -s.
    """
    most = len(returns) + 1
    total = 0.0
    for turns in itertools.product(range(1, most + 1), repeat=group_size):
        probability = math.prod(s ** (k - 1) * (1 - s if k < most else 1) for k in turns)
        mask = mask_of(" ".join("10" * k + "00" * (most - k) for k in turns))
        earned = place(mask, [([0.0, *returns])[j] for k in turns for j in range(k)])
        values = by_turn(estimate(mask, earned), mask)
        scores = [
            sum(value * (1 - s if j + 1 < k else -s) for j, value in enumerate(row) if j + 1 < most)
            for row, k in zip(values, turns, strict=True)
        ]
        total += probability * sum(scores) / group_size
    return total


def loo(mask, earned, baseline="loo_alive"):
    """Credit of the decision at the end of a turn: the reward-to-go of the turns after it."""
    ids = torch.zeros(len(mask), dtype=torch.int64)
    config = TurnCreditConfig(mode="reward_to_go", baseline=baseline)
    zero = torch.zeros(len(mask), dtype=torch.float64)
    return turn_credit(zero, mask, ids, config=config, turn_rewards=earned).advantages


@pytest.mark.parametrize("group_size", [2, 4, 8])
def test_leave_one_out_is_unbiased_where_the_policy_decides_when_to_stop(group_size):
    assert expected_gradient(group_size, 0.3, [1.0], loo) == pytest.approx(0.3 * 0.7 * 1.0)


def test_leave_one_out_scales_with_the_reward():
    assert expected_gradient(4, 0.3, [2.5], loo) == pytest.approx(0.525)


@pytest.mark.parametrize(("group_size", "expected"), [(2, 0.105), (4, 0.1575), (8, 0.18375)])
def test_the_mean_of_all_shrinks_the_gradient(group_size, expected):
    def mean(mask, earned):
        return loo(mask, earned, baseline="mean_alive")

    assert expected_gradient(group_size, 0.3, [1.0], mean) == pytest.approx(expected)


@pytest.mark.parametrize("group_size", [2, 4, 8])
def test_centring_each_reward_per_turn_index_sees_nothing(group_size):
    """Negative control: the wrong estimator, accumulated after centring, has no gradient at all."""

    def centred_first(mask, earned):
        turns = find_turns(mask)
        peers = group_rows(turns.peer_keys(torch.zeros(len(mask), dtype=torch.int64)))
        values = turns.sums(earned)
        out = torch.zeros(mask.shape, dtype=torch.float64)
        turns.add_to(out, turns.to_go(values - peers.mean(values)[peers.index], 1.0))
        return out

    assert expected_gradient(group_size, 0.3, [1.0], centred_first) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("group_size", "expected"), [(2, 0.373800), (4, 0.418782)])
def test_two_decisions_with_one_logit(group_size, expected):
    # s(1-s)(c2 + s c3) + (1 - (1-s)^(G-1)) s^2 (1-s) c3 with s 0.3, c2 1, c3 2
    assert expected_gradient(group_size, 0.3, [1.0, 2.0], loo) == pytest.approx(expected, abs=1e-6)
