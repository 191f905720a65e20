"""What the offline scorer reads and writes, one JSON object a line."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from gainful.infogain.types import MAX_TEXT_CHARS, AnswerSample, Missing, Reason, Value
from gainful.jsonl import MAX_LINE_BYTES, Record, read_lines

__all__ = [
    "MAX_LINE_BYTES",
    "BeliefRecord",
    "BeliefSummary",
    "JudgeUse",
    "MissingMark",
    "ScoredRow",
    "Trajectory",
    "Turn",
    "marked",
    "read_lines",
    "unmarked",
]

_MAX_TURNS = 256
_MAX_SAMPLES = 256
_MAX_ALIASES = 256
_ID = Annotated[str, Field(min_length=1, max_length=256)]
_Text = Annotated[str, Field(max_length=100_000)]
_Alias = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
_LogProb = Annotated[float, Field(le=0)]


class BeliefRecord(Record):
    """One probe: samples, and the mean ln p of the tokens of each gold alias."""

    samples: tuple[AnswerSample, ...] = Field(max_length=_MAX_SAMPLES)
    gold_logprob: tuple[_LogProb, ...] | None = Field(default=None, min_length=1, max_length=_MAX_ALIASES)


class Turn(Record):
    """One search: what was asked, what the tool returned."""

    query: _Text
    documents: tuple[str, ...] = ()


class Trajectory(Record):
    """One line of the input."""

    id: _ID
    question: _Text
    gold: tuple[_Alias, ...] = Field(default=(), max_length=_MAX_ALIASES)
    outcome: float | None = None
    """Reward of the outcome; None if it is not known."""
    beliefs: tuple[BeliefRecord | None, ...] | None = Field(default=None, max_length=_MAX_TURNS + 1)
    """Before any evidence, then after each turn; None for one that was not measured."""
    turns: tuple[Turn, ...] = Field(default=(), max_length=_MAX_TURNS)
    meta: dict[str, Any] = Field(default_factory=dict)
    """Anything else."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Trajectory":
        if self.beliefs is not None and len(self.beliefs) != len(self.turns) + 1:
            raise ValueError(
                f"beliefs must be one more than turns, {len(self.turns) + 1}, got {len(self.beliefs)}; null stands for "
                "one that was not measured"
            )
        for place, belief in enumerate(self.beliefs or ()):
            if belief and belief.gold_logprob and len(belief.gold_logprob) != len(self.gold):
                raise ValueError(
                    f"beliefs.{place}.gold_logprob must hold one value per alias in gold, {len(self.gold)}, got "
                    f"{len(belief.gold_logprob)}"
                )
        return self


class MissingMark(Record):
    """`Missing` in a file; the detail is not written."""

    missing: Reason


class BeliefSummary(Record):
    """A belief in a scored row."""

    classes: int
    entropy: float
    """In nats, with the correction that the options ask for."""
    gold_mass: float | MissingMark | None
    """None without a gold answer."""


class JudgeUse(Record):
    """What a trajectory asked of its judge."""

    name: str
    forwards: int
    """Distinct pairs that it needed; those that an earlier trajectory needed too are counted, and not asked again."""
    cache_hits: int
    reference_forwards: int
    """All ordered pairs within the first and within the last set of samples, which the source judges."""


class ScoredRow(Record):
    """One line of the output."""

    id: _ID
    kind: str
    gains: tuple[float | MissingMark, ...]
    reward_to_go: tuple[float | MissingMark, ...]
    total: float | MissingMark
    reward: float | MissingMark
    beliefs: tuple[BeliefSummary | MissingMark, ...]
    judge: JudgeUse
    config_hash: str

    def missing(self) -> list[Reason]:
        """Reasons of all gains that are missing."""
        return [gain.missing for gain in self.gains if isinstance(gain, MissingMark)]


def marked(value: Value) -> float | MissingMark:
    """A value as it is written."""
    return MissingMark(missing=value.reason) if isinstance(value, Missing) else value


def unmarked(value: float | MissingMark) -> Value:
    """A value as it was before it was written."""
    return Missing(value.missing) if isinstance(value, MissingMark) else value
