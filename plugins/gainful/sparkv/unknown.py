"""What a model says that has not been measured: it does not know. Never zero, never a guess."""

from dataclasses import dataclass
from typing import Literal, NoReturn, get_args

from gainful.errors import InputError, did_you_mean

__all__ = ["Ignorance", "Unknown"]

Ignorance = Literal["no_compute_samples", "no_bandwidth_samples", "no_round_trip_samples"]
"""What is missing."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A model without enough samples. It is no number: what would turn it into one raises `TypeError`."""

    reason: Ignorance
    detail: str = ""

    def __post_init__(self) -> None:
        known = get_args(Ignorance)
        if self.reason not in known:
            hint = did_you_mean(str(self.reason), known)
            raise InputError(f"Unknown: unknown reason {self.reason!r}{hint}; known: {', '.join(known)}")

    def _refuse(self) -> NoReturn:
        raise TypeError(f"an unmeasured model ({self.reason}) is no number; test for it with isinstance(x, Unknown)")

    def __float__(self) -> float:
        self._refuse()

    def __bool__(self) -> bool:
        self._refuse()
