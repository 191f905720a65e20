"""Everything in the catalogue keeps the contract, and the contract suite notices what does not."""

from dataclasses import replace

import pytest
import torch

from gainful import list_estimators
from gainful.advantage import AgpoConfig, agpo
from gainful.carry import carry, runs
from gainful.catalog import catalog
from gainful.errors import MissingInputError
from gainful.testing import check_advantage


def turn_ends(mask):
    after = torch.nn.functional.pad(mask[:, 1:] != 0, (0, 1))
    return (mask != 0) & ~after


def turn_starts(mask):
    return turn_ends(mask.flip(1)).flip(1)


def by_length(mask, kinds):
    """[B] int64 that differ between rows of different lengths, as long as there are few kinds of lengths."""
    return (mask != 0).sum(dim=1) % kinds


SIGNALS = {
    "anchor_ids": lambda mask: (turn_starts(mask).cumsum(1) % 2).masked_fill(~turn_starts(mask), -1),
    "answer_ids": lambda mask: by_length(mask, 3) - 1,
    "entity_match": lambda mask: by_length(mask, 5) / 4,
    "entropy": lambda mask: (mask != 0).sum(dim=1, keepdim=True).expand_as(mask) / 7,
    "old_log_probs": lambda mask: -((mask != 0).cumsum(1) % 4) / 3,
    "prompt_confidence": lambda mask: by_length(mask, 4) / 4,
    "step_acc": lambda mask: torch.where(turn_ends(mask), 1 / turn_starts(mask).cumsum(1), torch.nan),
    "step_conf": lambda mask: torch.where(turn_ends(mask), turn_starts(mask).cumsum(1) % 2, torch.nan).float(),
    "tool_calls": lambda mask: by_length(mask, 4),
    "turn_rewards": lambda mask: turn_starts(mask).cumsum(1) * turn_starts(mask) / 2,
}
"""Made from the mask, so that they move with rows and padding."""


def outcome_last(batch):
    """The outcome on the last token, where trainers put it."""
    rewards = torch.zeros_like(batch.rewards)
    rewards[:, -1] = batch.rewards.sum(dim=1)
    return replace(batch, rewards=rewards)


def with_carried_gains(batch):
    """The outcome last, and a value, or the marker of a missing one, on each turn before the last."""
    batch = outcome_last(batch)
    for row, mask in enumerate(batch.response_mask.tolist()):
        turns = runs(mask)
        values = [None if (end + len(turns)) % 5 == 0 else (start - end) / 4 for start, end in turns[:-1].tolist()]
        for token, value in carry(turns, values):
            batch.rewards[row, token] += value
    return batch


PREPARE = {"info_gain": with_carried_gains}
REQUIRED_OPTIONS = {
    "arm": {"alpha": 0.5},
    "info_gain": {"missing": {"max_rate": 1.0}},
    "spae": {"weight": 0.5, "damping": 0.5},
}


@pytest.mark.parametrize("spec", list_estimators(), ids=lambda spec: spec.name)
def test_estimator_keeps_the_contract(spec):
    def signals(batch):
        return {name: SIGNALS[name](batch.response_mask) for name in spec.needs}

    config = spec.config_cls(**REQUIRED_OPTIONS.get(spec.name, {}))
    check_advantage(spec, signals=signals, config=config, prepare=PREPARE.get(spec.name))


@pytest.mark.parametrize("spec", list_estimators(), ids=lambda spec: spec.name)
def test_estimator_is_documented(spec):
    for part in ("Args:", "Returns:", "Raises:", "Source:", "Edge cases:"):
        assert part in spec.fn.__doc__, f"{spec.name} has no {part!r}"
    assert spec.source
    assert spec.evidence
    undocumented = [name for name, field in spec.config_cls.model_fields.items() if not field.description]
    assert not undocumented


def broken(change):
    """agpo, with something wrong about it."""

    def estimate(rewards, response_mask, group_ids, *, config=AgpoConfig(), success=None):
        return change(rewards, response_mask, agpo(rewards, response_mask, group_ids, config=config, success=success))

    return replace(catalog().advantage("agpo"), fn=estimate)


def modify(rewards, _mask, out):
    rewards.mul_(0.5)
    return out


BROKEN = {
    "zero where the mask is": lambda rewards, mask, out: (out[0] + 1,) * 2,
    "returns must be the tensor": lambda rewards, mask, out: (out[0], out[0].clone()),
    "float32 rewards must give float32": lambda rewards, mask, out: (out[0].double(),) * 2,
    "must not be modified|two calls must agree": modify,
    "must agree bit for bit": lambda rewards, mask, out: (out[0] * torch.rand(()),) * 2,
    "one value": lambda rewards, mask, out: (out[0] * torch.arange(1, 1 + mask.shape[1]),) * 2,
    "a group alone": lambda rewards, mask, out: (out[0] * mask.sum(),) * 2,
    "give finite advantages|finite for finite": lambda rewards, mask, out: (out[0] / 0,) * 2,
}


@pytest.mark.parametrize("clause", BROKEN)
def test_contract_suite_notices(clause):
    with pytest.raises(AssertionError, match=clause):
        check_advantage(broken(BROKEN[clause]))


def test_contract_suite_notices_a_swallowed_nan():
    def forgiving(rewards, response_mask, group_ids, *, config=AgpoConfig(), success=None):
        return agpo(rewards.nan_to_num(0, 0, 0), response_mask, group_ids, config=config, success=success)

    with pytest.raises(AssertionError, match="a reward of nan must raise a ValueError"):
        check_advantage(replace(catalog().advantage("agpo"), fn=forgiving))


def test_contract_suite_notices_swallowed_signals():
    def greedy(rewards, response_mask, group_ids, *, config=AgpoConfig(), **signals):
        return agpo(rewards, response_mask, group_ids, config=config)

    with pytest.raises(AssertionError, match="unknown signal"):
        check_advantage(replace(catalog().advantage("agpo"), fn=greedy))


def test_contract_suite_asks_for_signals():
    with pytest.raises(MissingInputError, match="pass signals="):
        check_advantage(replace(catalog().advantage("agpo"), needs=("values",)))
