"""NGRPO: a virtual right response in every group, so that groups without one still say "less of this"."""

import torch
from pydantic import Field
from torch import Tensor

from gainful.advantage.group_relative import EPSILON
from gainful.advantage.groups import group_rows
from gainful.advantage.rows import broadcast, check_config, outcome_scores
from gainful.advantage.types import Advantages, Registration
from gainful.config import Options

__all__ = ["NgrpoConfig", "ngrpo"]


class NgrpoConfig(Options):
    """Constants of `ngrpo`; defaults of the authors' code."""

    r_max: float = 1.0
    """Outcome of a virtual response; unit of the reward."""
    virtual_count: int = Field(default=1, ge=1)
    """Virtual responses added to every group; at least 1."""


@torch.no_grad()
def ngrpo(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: NgrpoConfig = NgrpoConfig(),
) -> Advantages:
    """Group-relative advantage whose mean and spread include `virtual_count` responses of outcome `r_max`.

        A_i = (r_i - m') / (s' + 1e-6)     m', s': mean and sample standard deviation of the enlarged group

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: The virtual responses.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: groups all wrong carry signal and must not be filtered out; a group of one follows the formula.

    Source: arXiv 2509.18851, nangongrui-ngr/NGRPO [AC]. Trained there with clip 0.16/0.24, no KL, groups of 8.
    Differs from it: a group of one follows the formula, where the code takes mean 0 and deviation 1 [OD].
    """
    check_config("ngrpo", config, NgrpoConfig)
    scores = outcome_scores("ngrpo", rewards, response_mask, group_ids)
    groups = group_rows(group_ids)
    virtual, r_max = config.virtual_count, config.r_max
    size = groups.size + virtual
    mean = (groups.total(scores) + virtual * r_max) / size
    centred = scores - mean[groups.index]
    squares = groups.total(centred.square()) + virtual * (r_max - mean).square()
    deviation = (squares / (size - 1)).sqrt()
    return broadcast(centred / (deviation + EPSILON)[groups.index], response_mask, rewards)


REGISTRATION: Registration = {
    "config": NgrpoConfig,
    "source": "arXiv 2509.18851, nangongrui-ngr/NGRPO",
    "evidence": "[AC] formula and constants, [OD] groups of one",
    "difference": "a group of one follows the formula",
    "tier": 1,
    "keeps_all_wrong": True,
}
