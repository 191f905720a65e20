"""Methods that need a signal, hand-computed: gigpo, canon_entropy, hdpo, copo, arm, spae, e_grpo."""

import math

import pytest
import torch

from gainful.advantage import (
    ArmConfig,
    CanonEntropyConfig,
    EGrpoConfig,
    GigpoConfig,
    SpaeConfig,
    arm,
    canon_entropy,
    canon_length,
    copo,
    e_grpo,
    gigpo,
    hdpo,
    spae,
)
from gainful.errors import ConfigError, InputError, ShapeError

NAN = torch.nan


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


def batch(outcomes, ids=None, num_tokens=1):
    """Outcomes [B] float64, a mask of ones [B, T], and group ids, one group if not given."""
    mask = torch.ones(len(outcomes), num_tokens, dtype=torch.int64)
    return doubles(outcomes), mask, torch.tensor(ids or [3] * len(outcomes))


def close(out, expected):
    torch.testing.assert_close(out.advantages, doubles(expected), atol=2e-6, rtol=0)


MASK = torch.tensor([[1, 1, 0, 1, 1]] * 2)
ANCHORS = torch.tensor([[5, -1, -1, 8, -1], [5, -1, -1, 9, -1]])
TURN_REWARDS = doubles([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])


def run_gigpo(**options):
    signals = {"anchor_ids": ANCHORS, "turn_rewards": TURN_REWARDS}
    return gigpo(doubles([1, 0]), MASK, torch.tensor([2, 2]), config=GigpoConfig(**options), **signals)


def test_gigpo_matches_hand_computed_values():
    # episode +-0.5; from state 5 on, returns 0.95 and 0; states 8 and 9 were met once each
    close(run_gigpo(), [[0.975, 0.975, 0, 0.5, 0.5], [-0.975, -0.975, 0, -0.5, -0.5]])
    both, one = 2 * 0.707106, 0.707106
    close(run_gigpo(mode="mean_std_norm"), [[both, both, 0, one, one], [-both, -both, 0, -one, -one]])
    close(run_gigpo(step_weight=0), [[0.5, 0.5, 0, 0.5, 0.5], [-0.5, -0.5, 0, -0.5, -0.5]])


def test_gigpo_never_compares_states_of_two_prompts():
    signals = {"anchor_ids": ANCHORS, "turn_rewards": TURN_REWARDS}
    close(gigpo(doubles([1, 0]), MASK, torch.tensor([1, 2]), **signals), [[0.0] * 5] * 2)


def test_gigpo_leaves_turns_without_an_anchor_to_the_episode():
    unknown = torch.full_like(ANCHORS, -1)
    close(
        gigpo(doubles([1, 0]), MASK, torch.tensor([2, 2]), anchor_ids=unknown, turn_rewards=TURN_REWARDS),
        [[0.5, 0.5, 0, 0.5, 0.5], [-0.5, -0.5, 0, -0.5, -0.5]],
    )


OUTCOMES, LENGTHS = [1, 0, 1, 1, 1, 0, 0, 0], [5, 9, 3, 7, 4, 6, 8, 2]


def test_canon_entropy_matches_hand_computed_values():
    rewards, mask, ids = batch(OUTCOMES)
    entropy = doubles(LENGTHS)[:, None]
    expected = [0.75, -0.75, 0.75, 0.75 - 0.5, 0.75, -0.75, -0.75, -0.25]
    close(canon_entropy(rewards, mask, ids, entropy=entropy), [[value] for value in expected])
    # low half: rows 0, 2, 4, 7 with mean 0.75; high half: mean 0.25
    biased = canon_entropy(rewards, mask, ids, config=CanonEntropyConfig(entropy_bias=0.5), entropy=entropy)
    close(biased, [[value] for value in (0.25, -0.375, 0.25, 0.625, 0.25, -0.375, -0.375, -0.25)])


def test_canon_entropy_with_lengths_as_entropy_is_canon_length():
    mask = (torch.arange(9) < torch.tensor(LENGTHS)[:, None]).long()
    entropy = doubles(LENGTHS)[:, None].expand(8, 9)
    rewards, ids = doubles(OUTCOMES), torch.zeros(8, dtype=torch.int64)
    by_entropy = canon_entropy(rewards, mask, ids, entropy=entropy).advantages
    assert torch.equal(by_entropy, canon_length(rewards, mask, ids).advantages)


def test_canon_entropy_ignores_tokens_of_tools():
    rewards, ids = doubles([1, 0]), torch.tensor([1, 1])
    mask = torch.tensor([[1, 0], [1, 0]])
    entropy = doubles([[0.1, NAN], [0.2, torch.inf]])
    close(canon_entropy(rewards, mask, ids, entropy=entropy), [[1, 0], [-1, 0]])


def test_hdpo_matches_hand_computed_values():
    # among right rows 1, 1/2 and 1/4: mean 0.583333, sample deviation 0.381881
    out = hdpo(*batch([1, 1, 0, 1]), tool_calls=torch.tensor([0, 1, 0, 3]))
    close(out, [[0.663662], [0.467266], [-1.499997], [0.369069]])


def test_hdpo_needs_two_right_rows_for_its_tool_part():
    out = hdpo(*batch([1, 0, 0, 0]), tool_calls=torch.tensor([5, 0, 0, 0]))
    close(out, [[1.499997], [-0.499999], [-0.499999], [-0.499999]])


def test_copo_matches_hand_computed_values():
    # entropies 1 bit and 0: weights sigmoid(10) and sigmoid(-10); rates 0.5 and 0
    out = copo(*batch([1, 1, 0, 0, 0, 0], [1] * 4 + [2] * 2), answer_ids=torch.tensor([7, 7, -1, -1, 7, 7]))
    close(out, [[0.866017]] * 2 + [[-0.865953]] * 2 + [[-0.707073]] * 2)


def test_copo_with_one_prompt_keeps_the_local_part_alone():
    out = copo(*batch([1, 0]), answer_ids=torch.tensor([1, 2]))
    close(out, [[0.707073], [-0.707073]])


def test_arm_matches_hand_computed_values():
    log_probs = doubles([[0.5, 0.25, 1, 1, 1], [0.8] * 5, [0.1] * 5]).log()
    out = arm(
        *batch([1, 0, 0], [1, 1, 2], num_tokens=5),
        config=ArmConfig(alpha=0.5),
        old_log_probs=log_probs,
        prompt_confidence=doubles([0.6, 0.6, 0.9]),
    )
    # a fifth of five tokens is the least likely one: confidences 0.25 and 0.8; the third row is a group all wrong
    close(out, [[0.707106 + 0.175] * 5, [-0.707106 - 0.1] * 5, [0.0] * 5])


def test_spae_matches_hand_computed_values():
    conf = torch.full((2, 6), NAN, dtype=torch.float64)
    acc = conf.clone()
    conf[0, [1, 3]], acc[0, [1, 3]] = doubles([0.5, 1]), doubles([1, 1])
    config = SpaeConfig(weight=0.2, damping=0.5)
    out = spae(*batch([1, 0], num_tokens=6), config=config, step_conf=conf, step_acc=acc)
    # potentials 0.75 and 1, which saturates; steps bring 0.75 and 0.25
    a = 0.707106
    close(out, [[a + 0.15] * 2 + [a + 0.05] * 2 + [a / 2] * 2, [-a] * 6])


def test_e_grpo_matches_hand_computed_values():
    # rewards 1, 0.3, 0.15, 0: mean 0.3625, sample deviation 0.442295
    out = e_grpo(*batch([1, 0, 0, 0]), entity_match=doubles([0.5, 0.8, 0.4, 0]))
    close(out, [[1.441343], [-0.141308], [-0.480448], [-0.819588]])


def test_e_grpo_gives_nothing_for_a_bad_format():
    out = e_grpo(*batch([1, 0]), entity_match=doubles([1, 1]), format_ok=torch.tensor([False, True]))
    # rewards 0 and 0.3
    close(out, [[-0.707103], [0.707103]])


def test_e_grpo_without_weight_or_matches_is_grpo():
    for config, match in ((EGrpoConfig(match_weight=0), [0.2, 0.9]), (EGrpoConfig(), [0, 0])):
        close(e_grpo(*batch([1, 0]), config=config, entity_match=doubles(match)), [[0.707106], [-0.707106]])


ROWS = batch([1, 0], num_tokens=2)
FLOATS, LONGS = torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)
REFUSED = {
    "entropy must be finite on policy tokens, got nan in row 0": lambda: canon_entropy(*ROWS, entropy=FLOATS * NAN),
    r"entropy must be float \[2, 2\], got int64 \[2\]": lambda: canon_entropy(*ROWS, entropy=LONGS),
    "tool_calls must be at least 0, got -1": lambda: hdpo(*ROWS, tool_calls=LONGS - 1),
    r"tool_calls must be int64 \[2\], got float32 \[2, 2\]": lambda: hdpo(*ROWS, tool_calls=FLOATS),
    r"answer_ids must be int64 \[2\]": lambda: copo(*ROWS, answer_ids=LONGS.double()),
    r"entity_match must be in \[0, 1\], got 0 to 2": lambda: e_grpo(*ROWS, entity_match=doubles([0, 2])),
    r"entity_match must be in \[0, 1\], got nan": lambda: e_grpo(*ROWS, entity_match=doubles([0, NAN])),
    r"format_ok must be bool \[2\]": lambda: e_grpo(*ROWS, entity_match=FLOATS[0], format_ok=LONGS),
    "turn_rewards must be finite": lambda: gigpo(*ROWS, anchor_ids=LONGS[:, None] + LONGS, turn_rewards=FLOATS / 0),
    r"anchor_ids must be int64 \[2, 2\]": lambda: gigpo(*ROWS, anchor_ids=LONGS, turn_rewards=FLOATS),
    "old_log_probs must be finite on policy tokens": lambda: arm(
        *ROWS, config=ArmConfig(alpha=1), old_log_probs=FLOATS / 0, prompt_confidence=FLOATS[0]
    ),
    "prompt_confidence must be finite": lambda: arm(
        *ROWS, config=ArmConfig(alpha=1), old_log_probs=FLOATS, prompt_confidence=FLOATS[0] / 0
    ),
    "must be given at the same tokens": lambda: spae(
        *ROWS, config=SpaeConfig(weight=1, damping=1), step_conf=FLOATS, step_acc=FLOATS * NAN
    ),
    r"must be in \[0, 1\], got 0 to 2": lambda: spae(
        *ROWS, config=SpaeConfig(weight=1, damping=1), step_conf=FLOATS, step_acc=FLOATS + 2
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises((InputError, ShapeError), match=message):
        REFUSED[message]()


def test_constants_that_nobody_knows_have_no_default():
    from gainful.config import from_mapping

    for options, missing in ((ArmConfig, "alpha"), (SpaeConfig, "damping")):
        with pytest.raises(ConfigError, match=missing):
            from_mapping(options, {}, where="algorithm.gainful", owner="arm")
    assert math.isclose(ArmConfig(alpha=0).lowest_share, 0.2)
