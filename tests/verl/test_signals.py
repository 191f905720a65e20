"""Signals, from TransferQueue and agent loops to the keyword arguments of an estimator."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transfer_queue
from omegaconf import OmegaConf
from tensordict import NonTensorStack, TensorDict
from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn

from gainful.advantage import hdpo
from gainful.errors import InputError, MissingInputError, ShapeError
from gainful_verl.signals import Carried, carried, current
from gainful_verl.trainer import fetch

UIDS = np.array(["a", "a", "b", "b"], dtype=object)
REWARDS = torch.tensor([[0.0, 1], [0, 0], [0, 1], [0, 1]])
MASK = torch.ones(4, 2, dtype=torch.int64)


def estimate(name, signals=None, uids=UIDS, mask=MASK, rewards=REWARDS, carried_uids=None):
    config = OmegaConf.create({"adv_estimator": name})
    with carried(Carried(uids if carried_uids is None else carried_uids, signals or {})):
        return get_adv_estimator_fn(name)(token_level_rewards=rewards, response_mask=mask, config=config, index=uids)[0]


def test_the_estimator_gets_what_is_carried_and_nothing_stays_behind():
    calls = torch.tensor([0, 1, 0, 3])
    ids = torch.tensor([0, 0, 1, 1])
    assert torch.equal(estimate("hdpo", {"tool_calls": calls}), hdpo(REWARDS, MASK, ids, tool_calls=calls).advantages)
    assert current() is None


def test_other_rows_than_those_fetched_are_refused():
    with pytest.raises(ShapeError, match="other rows than those whose signals were fetched"):
        estimate("hdpo", {"tool_calls": torch.zeros(4, dtype=torch.int64)}, carried_uids=UIDS[::-1])


def test_without_a_signal_the_call_is_the_last_line_of_defence():
    with pytest.raises(MissingInputError, match="needs signal 'tool_calls' int64"):
        estimate("hdpo")


def test_padding_rows_lose_their_signals_too():
    uids = np.array([*UIDS, "pad1"], dtype=object)
    mask, rewards = (torch.cat([tokens, tokens.new_zeros(1, 2)]) for tokens in (MASK, REWARDS))
    answers = torch.tensor([0, 1, 0, 0, 7])
    padded = estimate("copo", {"answer_ids": answers}, uids, mask, rewards)
    assert torch.equal(padded[:4], estimate("copo", {"answer_ids": answers[:4]}))
    assert not padded[4].any()


def column(values):
    return NonTensorStack.from_list(values)


@pytest.fixture
def stored(monkeypatch):
    """`stored(rows, entropy=...)`: a batch whose columns TransferQueue would hand out; one dictionary a row."""

    def make(rows, **columns):
        nested = {"response_mask": torch.nested.as_nested_tensor([*MASK[: len(rows)]], layout=torch.jagged)}
        data = TensorDict(
            {"uid": column(list(UIDS[: len(rows)])), "extra_fields": column(rows), **nested, **columns}, len(rows)
        )
        get = lambda *, keys, partition_id, select_fields: data.select(*select_fields)  # noqa: E731
        monkeypatch.setattr(transfer_queue, "kv_batch_get", get)
        return SimpleNamespace(keys=[], partition_id="train")

    return make


def test_signals_come_from_columns_agent_loops_and_reward_functions(stored):
    rows = [{"tool_calls": calls, "reward_extra_info": {"entity_match": match}} for calls, match in ((2, 0.5), (0, 1))]
    entropy = torch.nested.as_nested_tensor([torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.4])], layout=torch.jagged)
    found = fetch(stored(rows, entropy=entropy), ["entropy", "tool_calls", "entity_match"], ["success"])
    assert list(found.uids) == ["a", "a"]
    assert sorted(found.tensors) == ["entity_match", "entropy", "tool_calls"]
    assert found.tensors["tool_calls"].tolist() == [2, 0]
    torch.testing.assert_close(found.tensors["entropy"], torch.tensor([[0.1, 0.2], [0.3, 0.4]]))


@pytest.mark.parametrize(("needs", "optional"), [(["tool_calls"], []), ([], ["tool_calls"])])
def test_a_signal_that_some_rows_lack_is_refused(stored, needs, optional):
    batch = stored([{"tool_calls": 1}, {"num_calls": 1}])
    with pytest.raises(MissingInputError, match=r"'tool_calls' is missing in 1 of 2 rows; .*Row 1 has num_calls"):
        fetch(batch, needs, optional)


def test_a_value_of_another_kind_is_refused(stored):
    with pytest.raises(InputError, match="int64 is expected, got 'two'"):
        fetch(stored([{"tool_calls": 1}, {"tool_calls": "two"}]), ["tool_calls"])


def test_the_loss_reads_verls_clip_options_and_gives_its_metrics():
    config = SimpleNamespace(
        clip_ratio=0.2, clip_ratio_low=None, clip_ratio_high=0.4, clip_ratio_c=3.0, global_batch_info={}
    )
    log_prob = torch.tensor([[0.5, 1.5, 0.1]]).log().requires_grad_()
    old, advantages, mask = torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([[1, 1, 0]])
    loss, metrics = get_policy_loss_fn("aspo_flip")(old, log_prob, advantages, mask, "token-mean", config)
    loss.backward()
    # two tokens of the policy: 1/w = 2, and one above 1.4
    assert log_prob.grad.tolist() == [[-1.0, 0.0, 0.0]]
    assert metrics["actor/pg_clipfrac"] == 0.5
    assert metrics["actor/pg_clipfrac_lower"] == 0
