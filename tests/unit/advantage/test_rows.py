import pytest
import torch

from gainful.advantage import rows
from gainful.errors import ShapeError


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of one row, so that block borders lie inside every test tensor."""
    monkeypatch.setattr(rows, "_BLOCK_ELEMENTS", 4)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float32])
def test_broadcast_writes_the_value_where_the_mask_is_not_zero(dtype):
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]).to(dtype)
    out = rows.broadcast(torch.tensor([0.5, 7.0, -2.0]), mask, torch.zeros(3)).advantages
    assert out.tolist() == [[0.5, 0, 0.5, 0.5], [0, 0, 0, 0], [0, -2, 0, 0]]


def test_mask_values_other_than_one_do_not_scale():
    mask = torch.tensor([[0.5, 0.0, -3.0]])
    assert rows.broadcast(torch.tensor([2.0]), mask, torch.zeros(1)).advantages.tolist() == [[2, 0, 2]]


@pytest.mark.usefixtures("small_blocks")
def test_row_sums_of_bfloat16_are_taken_in_float32():
    rewards = torch.tensor([[256.0, 1.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert rows.row_sums(rewards).tolist() == [258.0, 1.0]  # bfloat16 would stop at 256


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool])
def test_integer_rewards_are_summed(dtype):
    assert rows.row_sums(torch.tensor([[1, 0, 1], [0, 0, 0]]).to(dtype)).tolist() == [2, 0]


@pytest.mark.usefixtures("small_blocks")
def test_row_lengths_count_what_is_not_zero():
    assert rows.row_lengths(torch.tensor([[2.0, 0, -1], [0, 0, 0]])).tolist() == [2, 0]


def test_a_mask_of_one_dimension_is_refused():
    with pytest.raises(ShapeError, match=r"response_mask must be bool, int or float \[B, T\], got float32 \[3\]"):
        rows.outcome_scores("x", torch.zeros(3), torch.zeros(3), torch.zeros(3, dtype=torch.int64))


def test_tensors_on_two_devices_are_refused():
    with pytest.raises(ShapeError, match="must be on one device"):
        rows.outcome_scores("x", torch.zeros(2, 3, device="meta"), torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
