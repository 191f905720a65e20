"""NSR: learn from wrong responses alone. Keeps diversity: probability moves to all that was not wrong."""

from typing import Literal

import torch
from torch import Tensor

from gainful.advantage.rows import check_config
from gainful.advantage.signed_outcome import signed_outcome
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["NsrConfig", "nsr"]


class NsrConfig(OutcomeOptions):
    """Options of `nsr`."""

    denominator: Literal["all", "subset"] = "all"
    """`subset` scales by tokens of all rows / tokens of wrong rows, as if right rows were dropped; default ours."""


@torch.no_grad()
def nsr(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: NsrConfig = NsrConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Negative sample reinforcement: A_i = -1 for a wrong row, 0 for a right one.

    Args:
        rewards: [B, T] rewards of tokens or [B] outcomes, any finite sums.
        response_mask: [B, T]; nonzero where the policy wrote the token.
        group_ids: [B] int64; checked, not used: there is no baseline.
        config: Threshold and denominator.
        success: [B] bool; which rows are right, in place of the threshold.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: groups without a right row carry the whole signal and must not be filtered out; with
    `denominator="subset"` a row depends on the whole batch.

    Source: arXiv 2506.01347 [P]; TianHongZXY/RLVR-Decomposed drops right rows from the batch [AC].
    Differs from it: right rows stay, with zeros, and count in a token-mean loss unless `denominator` says otherwise.
    """
    check_config("nsr", config, NsrConfig)
    return signed_outcome(
        "nsr",
        rewards,
        response_mask,
        group_ids,
        config=config,
        success=success,
        right_value=0.0,
        wrong_value=-1.0,
        only_kept_tokens=config.denominator == "subset",
    )


REGISTRATION: Registration = {
    "config": NsrConfig,
    "source": "arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
    "evidence": "[P] formula, [AC] dropped class, [OD] denominator",
    "difference": "right responses stay in the batch with advantage 0 unless denominator is subset",
    "optional": ("success",),
    "tier": 1,
    "scope": "row",
    "keeps_all_wrong": True,
    "maps_reward": True,
}
