"""The flipped ratio: its gradient by hand, where it is clipped, and where it is the plain policy gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gainful.errors import ShapeError
from gainful.policy_loss import AspoFlipConfig, aspo_flip


def gradient(ratio, advantage, **options):
    """d loss / d log_prob of one token."""
    log_prob = torch.tensor([[ratio]], dtype=torch.float64).log().requires_grad_()
    old = torch.zeros(1, 1, dtype=torch.float64)
    loss = aspo_flip(old, log_prob, torch.full_like(old, advantage), config=AspoFlipConfig(**options)).loss
    loss.sum().backward()
    return log_prob.grad.item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, -2.0),
        (1.0, -2.0, 2.0),
        (0.5, 2.0, -4.0),  # 1 / w = 2
        (1.25, 2.0, -1.6),  # 1 / w = 0.8
        (0.1, 2.0, -6.0),  # 1 / w = 10, cut to 3, and the gradient stays
        (1.5, 2.0, 0.0),  # above 1 + 0.4
        (1.5, -2.0, 3.0),  # w itself
        (5.0, -2.0, 6.0),  # cut to 3
        (0.7, -2.0, 0.0),  # below 1 - 0.2
        (0.7, 0.0, 0.0),
    ],
)
def test_gradient_matches_hand_computed_values(ratio, advantage, expected):
    assert gradient(ratio, advantage) == pytest.approx(expected, abs=1e-12)


@given(st.floats(0.82, 1.39), st.floats(-3, 3))
def test_inside_the_clips_good_tokens_weigh_by_the_flipped_ratio(ratio, advantage):
    weight = 1 / ratio if advantage > 0 else ratio
    assert gradient(ratio, advantage) == pytest.approx(-weight * advantage, rel=1e-9, abs=1e-12)


def test_flags_say_which_tokens_were_clipped():
    log_prob = torch.tensor([[1.5, 0.1, 1.0, 5.0, 0.7]]).log()
    advantages = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0]])
    out = aspo_flip(torch.zeros(1, 5), log_prob, advantages)
    assert out.clipped.tolist() == [[True, False, False, False, True]]
    assert out.dual_clipped.tolist() == [[False, True, False, True, False]]


def test_a_hopeless_ratio_stays_finite():
    out = aspo_flip(torch.zeros(1, 2), torch.tensor([[-1e4, 1e4]]), torch.tensor([[1.0, -1.0]]))
    assert torch.isfinite(out.loss).all()


def test_refuses_shapes_and_constants_that_cannot_be():
    with pytest.raises(ShapeError, match=r"got \[2\], \[3\] and \[2\]"):
        aspo_flip(torch.zeros(2), torch.zeros(3), torch.zeros(2))
    for wrong in ({"clip_low": 1}, {"clip_high": -0.1}, {"dual_clip": 1}):
        with pytest.raises(ValidationError):
            AspoFlipConfig(**wrong)
