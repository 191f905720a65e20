"""Policy losses for verl: `actor_rollout_ref.actor.policy_loss.loss_mode=aspo_flip`. Runs in the actor workers."""

import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from gainful.policy_loss import AspoFlipConfig, TokenLoss, aspo_flip

__all__ = ["LOSSES", "register_losses"]

logger = logging.getLogger("gainful.verl")


def _aspo_flip(
    old_log_prob: Tensor,
    log_prob: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: Tensor | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """`aspo_flip` with verl's own clip options: clip_ratio_low, clip_ratio_high and clip_ratio_c of the actor."""
    options = AspoFlipConfig(
        clip_low=config.clip_ratio if config.clip_ratio_low is None else config.clip_ratio_low,
        clip_high=config.clip_ratio if config.clip_ratio_high is None else config.clip_ratio_high,
        dual_clip=config.clip_ratio_c,
    )
    tokens = aspo_flip(old_log_prob, log_prob, advantages, config=options)
    metrics = _metrics(tokens, old_log_prob - log_prob, response_mask)
    return _aggregate(tokens.loss, response_mask, loss_agg_mode, config, rollout_is_weights), metrics


def _aggregate(loss: Tensor, response_mask: Tensor, mode: str, config: Any, weights: Tensor | None) -> Tensor:
    """verl's own mean over tokens, over all ranks and micro-batches."""
    from verl.trainer.ppo.core_algos import agg_loss

    weighted = loss if weights is None else loss * weights
    return agg_loss(loss_mat=weighted, loss_mask=response_mask, loss_agg_mode=mode, **config.global_batch_info)


def _metrics(tokens: TokenLoss, negative_log_ratio: Tensor, response_mask: Tensor) -> dict[str, Any]:
    """verl's names for verl's meanings."""
    from verl.utils.torch_functional import masked_mean

    values = {
        "actor/pg_clipfrac": tokens.clipped.float(),
        "actor/pg_clipfrac_lower": tokens.dual_clipped.float(),
        "actor/ppo_kl": negative_log_ratio.detach(),
    }
    return {name: masked_mean(value, response_mask).item() for name, value in values.items()}


LOSSES: dict[str, Callable[..., tuple[Tensor, dict[str, Any]]]] = {"aspo_flip": _aspo_flip}


def register_losses() -> None:
    """Register all losses; a name that somebody else holds is left alone, since verl would overwrite it silently."""
    from verl.trainer.ppo.core_algos import get_policy_loss_fn, register_policy_loss

    for name, loss in LOSSES.items():
        try:
            holder = get_policy_loss_fn(name)
        except ValueError:  # how verl says that it knows no such name
            register_policy_loss(name)(loss)
            continue
        if holder is not loss:
            register_policy_loss(f"gainful_{name}")(loss)
            logger.warning(
                "gainful: verl already has a policy loss %r; gainful's is registered as gainful_%s", name, name
            )
