"""What goes into an estimator and what comes out.

Shape letters: B responses, T tokens of the longest response, G groups (prompts), K turns.
"""

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from gainful.config import Options

__all__ = ["Advantages", "Estimator", "OutcomeOptions", "Registration"]

Registration = dict[str, Any]
"""What a method file says about its method: the keyword arguments of `hookspecs.RegisterAdvantage`."""


class Advantages(NamedTuple):
    """What an estimator returns."""

    advantages: Tensor
    """[B, T] float32, or float64 for float64 rewards; exactly zero where the mask is."""
    returns: Tensor
    """The same tensor object: these methods have no value function."""


class OutcomeOptions(Options):
    """Options of a method that tells right responses from wrong ones."""

    success_threshold: float = 0.5
    """Least row sum of a right response, in units of the reward; the value is our choice."""

    def is_right(self, scores: Tensor) -> Tensor:
        """[B] bool: which of the row sums [B] belong to right responses."""
        return scores >= self.success_threshold


class Estimator(Protocol):
    """The shape of every estimator."""

    def __call__(
        self,
        rewards: Tensor,
        response_mask: Tensor,
        group_ids: Tensor,
        *,
        config: Any,
        **signals: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Advantages and returns of a batch.

        Args:
            rewards: [B, T] rewards of tokens, or [B] outcome scores; equal row sums give equal results.
            response_mask: [B, T] bool, integer or float; nonzero where the policy wrote the token.
            group_ids: [B] int64, equal for responses to one prompt; any values, in any order.
            config: The method's frozen options.
            signals: What the method lists in `needs` and `optional`.
        """
