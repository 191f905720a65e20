"""Rows whose one token carries the outcome, and the cases that several methods share."""

import pytest
import torch
from torch import Tensor

CASES = {
    "C1": ([1, 0, 0, 1], [7, 7, 7, 7]),
    "C2": ([0, 1, 0, 0, 1, 0, 1, 0], [0] * 8),
    # 30: two of five right; 7: three, all wrong; 12: two, all right; 99: wrong alone; -4: right alone
    "C3": ([1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0], [30, 7, 30, 7, 12, 30, 99, 12, 7, 30, -4, 30]),
    "C4": ([1, 0.25, 0, 0.75], [2] * 4),
}


@pytest.fixture
def case():
    """`case("C1")` -> rewards [B, 3] float64, mask [B, 3], group ids [B]; the outcome is on the last token."""

    def make(name: str) -> tuple[Tensor, Tensor, Tensor]:
        outcomes, ids = CASES[name]
        rewards = torch.zeros(len(ids), 3, dtype=torch.float64)
        rewards[:, -1] = torch.tensor(outcomes, dtype=torch.float64)
        return rewards, torch.ones(len(ids), 3, dtype=torch.int64), torch.tensor(ids)

    return make


@pytest.fixture
def assert_rows():
    """Compare advantages with one expected value a row, to the six decimals the values are known to."""

    def compare(advantages: Tensor, expected: list[float]) -> None:
        wanted = torch.tensor(expected, dtype=torch.float64)[:, None].expand_as(advantages)
        torch.testing.assert_close(advantages.double(), wanted, atol=2e-6, rtol=0)

    return compare
