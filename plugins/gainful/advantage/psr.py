"""PSR: learn from right responses alone. Sharpens fast, narrows what the model can reach."""

from typing import Literal

import torch
from torch import Tensor

from gainful.advantage.rows import check_config
from gainful.advantage.signed_outcome import signed_outcome
from gainful.advantage.types import Advantages, OutcomeOptions, Registration

__all__ = ["PsrConfig", "psr"]


class PsrConfig(OutcomeOptions):
    """Options of `psr`."""

    denominator: Literal["all", "subset"] = "all"
    """`subset` scales by tokens of all rows / tokens of right rows, as if wrong rows were dropped; default ours."""


@torch.no_grad()
def psr(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: PsrConfig = PsrConfig(),
    success: Tensor | None = None,
) -> Advantages:
    """Positive sample reinforcement: A_i = 1 for a right row, 0 for a wrong one.

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

    Edge cases: without a right row all advantages are zero; with `denominator="subset"` a row depends on the whole
    batch.

    Source: arXiv 2506.01347 [P]; TianHongZXY/RLVR-Decomposed drops wrong rows from the batch [AC].
    Differs from it: wrong rows stay, with zeros, and count in a token-mean loss unless `denominator` says otherwise.
    """
    check_config("psr", config, PsrConfig)
    return signed_outcome(
        "psr",
        rewards,
        response_mask,
        group_ids,
        config=config,
        success=success,
        right_value=1.0,
        wrong_value=0.0,
        only_kept_tokens=config.denominator == "subset",
    )


REGISTRATION: Registration = {
    "config": PsrConfig,
    "source": "arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
    "evidence": "[P] formula, [AC] dropped class, [OD] denominator",
    "difference": "wrong responses stay in the batch with advantage 0 unless denominator is subset",
    "optional": ("success",),
    "tier": 1,
    "scope": "row",
    "maps_reward": True,
}
