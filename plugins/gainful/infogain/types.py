"""Samples, missing values and the questions that are put to a judge.

Shape letters: R samples of one belief, D distinct answers among them, K answer classes, A gold aliases.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from gainful.errors import ConfigError, InputError, did_you_mean

__all__ = [
    "MAX_TEXT_CHARS",
    "AnswerSample",
    "Asking",
    "FloatArray",
    "Missing",
    "Pair",
    "Reason",
    "Value",
    "check_choice",
    "distinct",
]

MAX_TEXT_CHARS = 10_000
"""Of one answer. Ours: probes write a few dozen tokens."""

Reason = Literal[
    "probe_failed",
    "probe_timeout",
    "probe_empty",
    "no_room",
    "judge_failed",
    "judge_unparsable",
    "no_gold",
    "over_budget",
    "no_outcome",
]
"""Why a value is not known."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Missing:
    """A value that could not be measured. It is no number: what would turn it into one raises `TypeError`."""

    reason: Reason
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in get_args(Reason):
            raise InputError(f"Missing: unknown reason {self.reason!r}; known: {', '.join(get_args(Reason))}")

    def _refuse(self) -> NoReturn:
        raise TypeError(f"a missing value ({self.reason}) is no number; test for it with isinstance(x, Missing)")

    def __float__(self) -> float:
        self._refuse()

    def __bool__(self) -> bool:
        self._refuse()


Value: TypeAlias = float | Missing


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class AnswerSample:
    """One short answer that a policy gave when it was probed."""

    text: Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
    logprob_sum: Annotated[float | None, Field(le=0)] = None
    """Sum of ln p over its tokens, in nats; None if the engine gave none."""
    n_tokens: Annotated[int | None, Field(ge=1)] = None
    """Tokens in that sum."""

    @property
    def answer(self) -> str:
        """The text without white space around it; empty if there is no answer."""
        return self.text.strip()


def check_choice(what: str, value: str, choices: Any) -> None:
    """Refuse a name that is not in a `Literal`: nothing may fall through to another rule.

    Raises:
        ConfigError: Names the nearest known one.
    """
    known = get_args(choices)
    if value not in known:
        raise ConfigError(f"unknown {what} {value!r}{did_you_mean(str(value), known)}; known: {', '.join(known)}")


Pair: TypeAlias = tuple[str, str]
"""Premise and hypothesis: does the first entail the second?"""

T = TypeVar("T")
Asking: TypeAlias = Generator[Sequence[Pair], Sequence[Value], T]
"""A computation that needs a judge: it yields pairs, is sent one value each, and returns its result.

So one text serves a blocking judge, an asynchronous one, and many computations whose questions share a batch.
"""


def distinct(samples: Sequence[AnswerSample]) -> tuple[list[str], NDArray[np.intp]]:
    """Distinct answers [D] in order of first appearance, and for each sample the index of its own [R]."""
    index: dict[str, int] = {}
    of_sample = [index.setdefault(sample.answer, len(index)) for sample in samples]
    return list(index), np.array(of_sample, dtype=np.intp)
