"""AGPO: right responses pull by how rare they are, wrong ones push harder. Meant to keep pass@k from shrinking."""

import warnings
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, check_success, outcome_scores
from gainful.advantage.types import Advantages, OutcomeOptions, Registration
from gainful.errors import InputError

__all__ = ["AgpoConfig", "agpo", "agpo_metrics"]

_RANGE_TOLERANCE = 1e-6
_FLAT_VARIANCE = 1e-12


class AgpoConfig(OutcomeOptions):
    """Constants of `agpo`. The paper's values are not known to us: all defaults are ours."""

    delta: float = Field(default=1.0, ge=0)
    """Softens the division by the group's spread; unit of the signed reward; at least 0."""
    negative_reward: float = Field(default=-1.0, le=0)
    """R, added to every wrong response; at most 0."""
    reward_map: Literal["zero_one", "binary", "signed"] = "zero_one"
    """How a row sum x becomes the signed reward: 2x - 1, or +1/-1 by success_threshold, or x as it is."""

    def is_right(self, scores: Tensor) -> Tensor:
        """[B] bool; under `signed` the published gate, x >= 0, in place of the threshold."""
        return scores >= 0 if self.reward_map == "signed" else super().is_right(scores)


@torch.no_grad()
def agpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: AgpoConfig = AgpoConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Group-relative advantage with a softened spread, and a gated push on every wrong response.

    With s_i the signed reward of row i, mu and var mean and population variance of s over the group of i:

        A_i = (s_i - mu) / sqrt(var + delta^2) + (negative_reward if row i is wrong else 0)

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes; each row sums to x in [0, 1] (any x under `binary`,
            a signed reward under `signed`).
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Constants of the formula.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, float32 (float64 for float64 rewards), constant over a row's
        policy tokens and zero elsewhere.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite, or outside what `reward_map` accepts.
        ConfigError: `config` belongs to another method.

    Edge cases: a group all wrong gets `negative_reward` on every row and must not be filtered out; a group all
    right gets zero; a group of one gets `negative_reward` if wrong and zero if right; with delta = 0 a group
    without spread has a zero first term; an empty batch returns empty tensors.

    Example:
        >>> mask = torch.ones(4, 1, dtype=torch.bool)
        >>> out = agpo(torch.tensor([1.0, 0.0, 0.0, 1.0]), mask, torch.tensor([7, 7, 7, 7]))
        >>> [round(a, 3) for a in out.advantages[:, 0].tolist()]
        [0.707, -1.707, -1.707, 0.707]

    Source: AGPO, arXiv 2605.05826. [PA] negative-dominant signal, positive updates scaled by the intra-group
    variance; [S2] the formula and its gate.
    Differs from it: population variance, both constants and the map of 0/1 rewards are our choice [OD].
    """
    check_config("agpo", config, AgpoConfig)
    scores = outcome_scores("agpo", rewards, response_mask, group_ids)
    check_success("agpo", success, len(scores))
    signed, right = _signed(scores, config, success)
    groups = group_rows(group_ids)
    if config.reward_map == "signed" and success is None:
        _check_gate(scores, groups.variance(scores))
    centred = signed - groups.mean(signed)[groups.index]
    relative = centred / _denominator(groups.variance(signed), config.delta)[groups.index]
    # float64 from the start: torch.where of two Python numbers would round them to float32
    gated = torch.zeros_like(relative).masked_fill_(~right, config.negative_reward)
    return broadcast(relative + gated, response_mask, rewards)


def agpo_metrics(scores: Tensor, group_ids: Tensor, *, config: AgpoConfig) -> dict[str, float]:
    """`denom_mean`: mean over groups of sqrt(var + delta^2), unit of the signed reward; nan for an empty batch."""
    signed, _ = _signed(scores.double(), config, None)
    variance = group_rows(group_ids).variance(signed)
    return {"denom_mean": (variance + config.delta**2).sqrt().mean().item()}


def _signed(scores: Tensor, config: AgpoConfig, success: Tensor | None) -> tuple[Tensor, Tensor]:
    """Signed rewards [B] float64 and right rows [B] bool."""
    right = config.is_right(scores) if success is None else success
    if config.reward_map == "binary":
        return 2.0 * right.double() - 1.0, right
    if config.reward_map == "zero_one":
        outside = (scores < -_RANGE_TOLERANCE) | (scores > 1 + _RANGE_TOLERANCE)
        if outside.any():
            raise InputError(
                f"agpo: reward_map 'zero_one' takes row sums in [0, 1], got {scores[outside][0]:g}; for rewards such "
                "as +1/-1 set reward_map to 'signed', for any others to 'binary' with a success_threshold"
            )
        return 2.0 * scores - 1.0, right
    return scores, right


def _denominator(variance: Tensor, delta: float) -> Tensor:
    """[G]: sqrt(var + delta^2), and for delta = 0 infinity where a group has no spread."""
    if delta == 0:
        variance = torch.where(variance > _FLAT_VARIANCE, variance, torch.inf)
    return (variance + delta**2).sqrt()


def _check_gate(scores: Tensor, variance: Tensor) -> None:
    """With rewards that are never negative the published gate never opens: half of the method is gone."""
    if bool((scores < 0).any()):
        return
    if bool((scores == 0).any()):
        raise InputError(
            "agpo: reward_map 'signed' needs wrong responses below 0, got row sums of 0 and none below; for 0/1 "
            "rewards set reward_map to 'zero_one'"
        )
    if bool((variance > _FLAT_VARIANCE).any()):
        warnings.warn(
            "agpo: reward_map 'signed' and no row sum below 0 although groups differ: the negative term stays "
            "closed; check the sign of the reward",
            stacklevel=3,
        )


REGISTRATION: Registration = {
    "config": AgpoConfig,
    "source": "AGPO, arXiv 2605.05826",
    "evidence": "[PA] idea, [S2] formula, [OD] constants",
    "difference": "population variance, delta, negative_reward and the reward map are our choice",
    "optional": ("success",),
    "tier": 1,
    "keeps_all_wrong": True,
    "maps_reward": True,
    "reward_range": (0.0, 1.0),
    "metrics": agpo_metrics,
}
