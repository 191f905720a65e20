"""Policy losses: per token, from log-probabilities and advantages. Imports torch."""

from gainful.policy_loss.aspo_flip import AspoFlipConfig, TokenLoss, aspo_flip

__all__ = ["AspoFlipConfig", "TokenLoss", "aspo_flip"]
