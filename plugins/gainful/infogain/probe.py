"""What a probe is: a prefix goes in, short answers or the gold answer's log-probability come out."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from gainful.infogain.types import AnswerSample, Missing

__all__ = ["Probe", "answer_of"]

PrefixT = TypeVar("PrefixT", contravariant=True)


class Probe(Protocol[PrefixT]):
    """What an adapter provides. A probe never raises for one prefix: it returns `Missing` with its reason.

    The prefix is the host's: token ids in a trainer, a text for a served model. It holds evidence as the tool returned
    it; whether it holds what the policy wrote is the adapter's choice of context.
    """

    async def sample(self, prefix: PrefixT, num_samples: int, seed: int) -> Sequence[AnswerSample] | Missing:
        """Draw short answers at temperature 1."""

    async def gold_logprob(self, prefix: PrefixT, gold: Sequence[str]) -> Sequence[float] | Missing:
        """Mean ln p of the tokens of each alias [A], given the prefix."""


def answer_of(text: str, stop: Sequence[str], logprobs: Sequence[float] | None) -> AnswerSample:
    """What a model wrote, up to the first stop string: engines that return tokens leave it in.

    Args:
        logprobs: ln p of each token that it wrote; None or empty if the engine gave none.
    """
    end = min((place for place in map(text.find, stop) if place >= 0), default=len(text))
    if not logprobs:
        return AnswerSample(text[:end])
    return AnswerSample(text[:end], min(sum(logprobs), 0.0), len(logprobs))
