"""What happened, step by step: enough to show it, to audit it and to run it again."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter

from gainful.budget.actions import GuardNote, Observation, Option, Outcome
from gainful.budget.config import ControllerConfig
from gainful.budget.hashing import short_hash
from gainful.budget.prices import PriceTable
from gainful.budget.types import AxisUse, Budget, Cost, Record, UsageSource

__all__ = ["SCHEMA", "FinishRecord", "GrantRecord", "StartRecord", "StepRecord", "Trace", "TraceRecord"]

SCHEMA = 1
_TEXTS = frozenset({"question", "query", "text", "title", "answer", "base_answer"})
_REDACTED = "sha256:"


def _named(outside: str, inside: str, **options: Any) -> Any:
    """A field whose name in files cannot be its name in Python."""
    return Field(serialization_alias=outside, validation_alias=AliasChoices(inside, outside), **options)


class _Line(Record):
    """One line of a trace file."""

    schema_version: int = _named("schema", "schema_version", default=SCHEMA)
    run_id: str


class StartRecord(_Line):
    """What a run was started with."""

    record: Literal["start"] = "start"
    question: str
    budget: Budget
    prices: PriceTable | None
    host_steps: int | None
    tools: tuple[str, ...]
    config: ControllerConfig
    config_hash: str
    value_model: str
    cost_model: str
    versions: Mapping[str, str]


class StepRecord(_Line):
    """One decision and what became of it. Times are microseconds of the run."""

    record: Literal["step"] = "step"
    step: int
    t: int
    """When it was decided."""
    t_begin: int
    t_end: int
    action: str
    """What was done; FALLBACK where the decision no longer fitted."""
    decided: str
    query: str
    purpose: str
    tool: str
    k: int
    """Passages asked for."""
    features: Mapping[str, float]
    s: float
    options: tuple[Option, ...]
    """delta, psi, pi, u, d and r per move."""
    rho: float
    shadow_price: float = _named("lambda", "shadow_price")
    guards: tuple[GuardNote, ...]
    forced: bool
    reason: str
    reserved: Mapping[str, int]
    """In the ledger's integers, as is `used`."""
    used: Mapping[str, int]
    usage: UsageSource
    ledger: tuple[AxisUse, ...]
    new_evidence: tuple[str, ...]
    outcome: Outcome
    config_hash: str
    warnings: tuple[str, ...] = ()
    observation: Observation
    """With the usage that was charged, so that a replay charges the same."""

    @property
    def chosen(self) -> Option | None:
        """The score of what was done; None where it was not scored."""
        kind, query, tool = self.action, self.query, self.tool
        moves = ((option.move.kind, option.move.query, option.move.tool, option) for option in self.options)
        return next((option for *move, option in moves if move == [kind, query, tool]), None)


class GrantRecord(_Line):
    """Limits were raised."""

    record: Literal["grant"] = "grant"
    t: int
    cost: Cost
    reason: str


class FinishRecord(_Line):
    """How a run ended."""

    record: Literal["finish"] = "finish"
    t: int
    answer: str
    base_answer: str
    exit_reason: str
    finalizer: str
    """What the finalizer did, and why."""
    audit_ok: bool
    late_seconds: float
    config_hash: str


TraceRecord = Annotated[StartRecord | StepRecord | GrantRecord | FinishRecord, Field(discriminator="record")]
_RECORD: TypeAdapter[Any] = TypeAdapter(TraceRecord)


class Trace(BaseModel):
    """The records of one run in order; a start, then steps and grants, then one finish."""

    model_config = ConfigDict(extra="forbid")

    records: list[TraceRecord] = Field(default_factory=list)

    def append(self, record: Any) -> None:
        """Add one record."""
        self.records.append(record)

    @property
    def steps(self) -> list[StepRecord]:
        """The step records alone."""
        return [record for record in self.records if isinstance(record, StepRecord)]

    def lines(self, *, redact: bool = False) -> Iterator[str]:
        """One JSON object per record. `redact` puts a hash in the place of every text."""
        for record in self.records:
            line = record.model_dump(mode="json", by_alias=True)
            yield json.dumps(_redacted(line) if redact else line, ensure_ascii=False)

    def to_jsonl(self, *, redact: bool = False) -> str:
        """All lines, each with its end."""
        return "".join(f"{line}\n" for line in self.lines(redact=redact))

    @classmethod
    def from_jsonl(cls, text: str) -> "Trace":
        """Read what `to_jsonl` wrote; a redacted trace can be read and shown, not replayed.

        Raises:
            pydantic.ValidationError: A line is no record of this schema.
        """
        return cls(records=[_RECORD.validate_json(line) for line in text.splitlines() if line.strip()])

    @property
    def is_redacted(self) -> bool:
        """True if texts were replaced by hashes."""
        return any(isinstance(record, StartRecord) and record.question.startswith(_REDACTED) for record in self.records)


def _redacted(value: Any, key: str = "") -> Any:
    """Hashes for texts, wherever they stand; names, numbers and everything else as they are."""
    if isinstance(value, dict):
        return {name: _redacted(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted(part, key) for part in value]
    if key in _TEXTS and isinstance(value, str) and value:
        return _REDACTED + short_hash(value)
    return value
