"""What crosses the border between the scheduler's process and the workers', once per engine step and way."""

from dataclasses import dataclass, field

from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata, KVConnectorWorkerMetadata

from gainful.sparkv.staged import StagedSpan, common_span

__all__ = ["Race", "PrefixLoad", "Save", "StepMeta", "TakeOver", "WorkerMeta"]


@dataclass(frozen=True, slots=True)
class Race:
    """Begin to stream chunks [first_chunk, end_chunk) from the back into host memory."""

    request_id: str
    block_hashes: tuple[bytes, ...]
    """The engine's chain for the prompt, from its start."""
    first_chunk: int
    end_chunk: int
    chunk_bytes: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Copy staged blocks into the engine's, before the forward of this step."""

    request_id: str
    first_block: int
    """Position, in the prompt, of the first one."""
    block_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PrefixLoad:
    """Load chunks [first_chunk, end_chunk) into the engine's blocks, from the front."""

    request_id: str
    block_hashes: tuple[bytes, ...]
    first_chunk: int
    end_chunk: int
    first_block: int
    """Position, in the prompt, of the first block that is loaded; blocks of the chunk before it are computed."""
    block_ids: tuple[int, ...]
    max_seconds: float
    by_layer: bool
    """True if the forward of this step waits for each layer, False if the request waits for all of it."""


@dataclass(frozen=True, slots=True)
class Save:
    """Store chunks [first_chunk, first_chunk + len(block_ids) / blocks per chunk) after the forward of this step."""

    request_id: str
    block_hashes: tuple[bytes, ...]
    first_chunk: int
    block_ids: tuple[int, ...]


@dataclass
class StepMeta(KVConnectorMetadata):
    """From the scheduler part to every worker part."""

    races: list[Race] = field(default_factory=list)
    frontiers: dict[str, int] = field(default_factory=dict)
    """Racing request -> tokens that are computed when this step is over."""
    take_overs: list[TakeOver] = field(default_factory=list)
    loads: list[PrefixLoad] = field(default_factory=list)
    saves: list[Save] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    """Requests for which nothing is needed any longer."""
    epoch: str = ""
    """Changes when all that is stored was declared void."""
    lost_blocks: set[int] = field(default_factory=set)
    """Blocks that were promised and cannot be filled; reported to the engine as failed."""


@dataclass
class WorkerMeta(KVConnectorWorkerMetadata):
    """From the worker parts, merged over the ranks, to the scheduler part."""

    spans: dict[str, list[StagedSpan]] = field(default_factory=dict)
    """Racing request -> what each rank has staged."""
    failed: dict[str, str] = field(default_factory=dict)
    """Request -> why what was asked for it did not come."""
    lost_blocks: set[int] = field(default_factory=set)
    """Engine blocks that hold nothing usable, reported as failed in the same step."""
    transfers: list[tuple[int, float]] = field(default_factory=list)
    """Bytes and seconds on the link of one rank."""
    save_seconds: float = 0.0
    """Copying what is saved took this much of the step."""

    def aggregate(self, other: "WorkerMeta") -> "WorkerMeta":
        """Merge another rank's; the link and the step are measured by one of them."""
        for request_id, spans in other.spans.items():
            self.spans.setdefault(request_id, []).extend(spans)
        self.failed |= other.failed
        self.lost_blocks |= other.lost_blocks
        self.save_seconds = max(self.save_seconds, other.save_seconds)
        return self

    def common(self, request_id: str, num_ranks: int) -> StagedSpan | None:
        """What all ranks hold; None unless each has said something."""
        spans = self.spans.get(request_id, [])
        return common_span(spans) if len(spans) == num_ranks else None
