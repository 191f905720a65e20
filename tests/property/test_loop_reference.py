"""Every estimator against a plain float64 loop over rows, on a thousand random batches."""

import math

import pytest
import torch

from gainful.advantage import agpo, nsr, psr, w_reinforce
from gainful.testing import random_batch


def agpo_of_group(outcomes):
    signed = [2 * x - 1 for x in outcomes]
    mean = sum(signed) / len(signed)
    variance = sum((s - mean) ** 2 for s in signed) / len(signed)
    return [(s - mean) / math.sqrt(variance + 1) - (x < 0.5) for s, x in zip(signed, outcomes, strict=True)]


REFERENCES = {
    agpo: agpo_of_group,
    psr: lambda outcomes: [float(x >= 0.5) for x in outcomes],
    nsr: lambda outcomes: [-float(x < 0.5) for x in outcomes],
    w_reinforce: lambda outcomes: [0.1 if x >= 0.5 else -1.0 for x in outcomes],
}


@pytest.mark.parametrize("estimator", REFERENCES, ids=lambda estimator: estimator.__name__)
def test_agrees_with_a_float64_loop(estimator):
    generator = torch.Generator().manual_seed(7)
    for _ in range(1000):
        batch = random_batch(generator)
        outcomes = batch.rewards.double().sum(dim=1).tolist()
        expected = torch.zeros(batch.response_mask.shape, dtype=torch.float64)
        for group_id in set(batch.group_ids.tolist()):
            members = [row for row, other in enumerate(batch.group_ids.tolist()) if other == group_id]
            values = REFERENCES[estimator]([outcomes[row] for row in members])
            for row, value in zip(members, values, strict=True):
                expected[row] = torch.where(batch.response_mask[row] != 0, value, 0.0)
        found = estimator(batch.rewards, batch.response_mask, batch.group_ids).advantages.double()
        assert (found - expected).abs().max() <= 2e-6 * max(1.0, expected.abs().max().item())
