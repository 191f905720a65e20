"""Everything in the catalogue keeps the contract, and the contract suite notices what does not."""

from dataclasses import replace

import pytest
import torch

from gainful import list_estimators
from gainful.advantage import AgpoConfig, agpo
from gainful.catalog import catalog
from gainful.errors import MissingInputError
from gainful.testing import check_advantage


@pytest.mark.parametrize("spec", list_estimators(), ids=lambda spec: spec.name)
def test_estimator_keeps_the_contract(spec):
    check_advantage(spec)


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
