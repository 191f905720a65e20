"""ASPO's flipped ratio: tokens of good responses that have become unlikely are pushed more, not less."""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from gainful.config import Options
from gainful.errors import ShapeError

__all__ = ["AspoFlipConfig", "TokenLoss", "aspo_flip"]

_LARGEST_LOG_RATIO = 20.0
"""Keeps the ratio finite, as verl's own losses do."""


class AspoFlipConfig(Options):
    """Constants of `aspo_flip`."""

    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """Tokens with a negative advantage and a ratio below 1 - clip_low learn nothing; in [0, 1)."""
    clip_high: float = Field(default=0.4, ge=0)
    """Tokens with a positive advantage and a ratio above 1 + clip_high learn nothing; at least 0."""
    dual_clip: float = Field(default=3.0, gt=1)
    """Greatest weight of a token; above 1; value of the authors' code."""


class TokenLoss(NamedTuple):
    """What a loss says of each token, [B, T] each."""

    loss: Tensor
    """To be averaged; carries the gradient."""
    clipped: Tensor
    """Bool: tokens that learn nothing."""
    dual_clipped: Tensor
    """Bool: tokens whose weight is cut to `dual_clip`."""


def aspo_flip(
    old_log_prob: Tensor, log_prob: Tensor, advantages: Tensor, *, config: AspoFlipConfig = AspoFlipConfig()
) -> TokenLoss:
    """Policy gradient whose importance weight is turned over where the advantage is positive.

    With the ratio w = exp(log_prob - old_log_prob), the gradient of a token's loss is

        -min(1/w, dual_clip) A grad log_prob     for A > 0, none above w = 1 + clip_high
        -min(w, dual_clip) A grad log_prob       for A <= 0, none below w = 1 - clip_low

    PPO weighs both by w, so a token of a good response that has become unlikely moves little, and a likely one much.

    Args:
        old_log_prob: [B, T] float, in nats; of the sampled tokens under the policy that sampled them.
        log_prob: [B, T] float; under the policy being trained; the gradient goes here.
        advantages: [B, T] float.
        config: Clips.

    Raises:
        ShapeError: The three shapes differ.

    Edge cases: at w = 1 this is the plain policy gradient. Cutting a weight keeps the token's gradient, as the authors'
    soft dual clip does.

    Source: arXiv 2510.06062, wizard-III/Archer2.0 [AC]; the surrogate whose gradient this is [D].
    Differs from it: the authors choose between two clips by entropy, which no host passes to a loss; here positive
    advantages have one and the others have one [OD].
    """
    if not old_log_prob.shape == log_prob.shape == advantages.shape:
        raise ShapeError(
            f"aspo_flip: old_log_prob, log_prob and advantages must have one shape, got {list(old_log_prob.shape)}, "
            f"{list(log_prob.shape)} and {list(advantages.shape)}"
        )
    ratio = (log_prob - old_log_prob).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO).exp()
    value = ratio.detach()
    positive = advantages > 0
    weight = torch.where(positive, 1 / value, value)
    clipped = torch.where(positive, value > 1 + config.clip_high, value < 1 - config.clip_low)
    moving = torch.where(clipped, value, ratio)  # equal in value; only the second carries a gradient
    loss = -advantages * weight.clamp(max=config.dual_clip) * (moving / value)
    return TokenLoss(loss, clipped, (weight > config.dual_clip) & ~clipped)


REGISTRATION = {
    "source": "ASPO, arXiv 2510.06062, wizard-III/Archer2.0",
    "evidence": "[AC] weights and clips, [D] surrogate, [OD] one clip a sign",
    "difference": "clips are chosen by the sign of the advantage, not by entropy",
}
"""For the methods table."""
