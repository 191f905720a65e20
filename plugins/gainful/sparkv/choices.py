"""Choices that rest on a plan: which codec, and which request the link serves first."""

from collections.abc import Sequence
from dataclasses import dataclass

from gainful.errors import InputError
from gainful.sparkv.costs import ComputeModel, RouteCosts
from gainful.sparkv.planner import DEFAULTS, Plan, PlannerOptions, plan
from gainful.sparkv.unknown import Unknown

__all__ = ["CodecCandidate", "CodecChoice", "IoDemand", "choose_codec", "most_valuable"]


@dataclass(frozen=True, slots=True)
class CodecCandidate:
    """One way to encode the same chunks."""

    name: str
    costs: RouteCosts | Unknown
    """From `route_costs`, with this codec's bytes and seconds to decode."""


@dataclass(frozen=True, slots=True)
class CodecChoice:
    """The codec to ask the store for, with its plan."""

    name: str
    plan: Plan
    meets_target: bool
    """False also where nothing could be predicted."""


def choose_codec(
    candidates: Sequence[CodecCandidate],
    target_seconds: float,
    *,
    tail_seconds: float = 0.0,
    options: PlannerOptions = DEFAULTS,
) -> CodecChoice:
    """The least lossy codec whose predicted time to first token meets the target, or else the fastest one.

    Args:
        candidates: At least one, the least lossy first.
        target_seconds: Time to first token that is wanted; infinity takes the least lossy.
        tail_seconds: What either way follows the chunks, such as the prompt's last tokens.
        options: When plans decline.

    Raises:
        InputError: No candidate.

    Edge cases: candidates without a prediction are taken only if there are no others, the first of them.

    Source: SparKV quantises per layer by a table that is not public; choosing per request is ours.
    """
    if not candidates:
        raise InputError("choose_codec: expected at least one candidate, got none")
    fastest: tuple[float, CodecChoice] | None = None
    for candidate in candidates:
        found = plan(candidate.costs, options=options)
        if isinstance(found.prediction, Unknown):
            continue
        seconds = found.prediction.seconds + tail_seconds
        if seconds <= target_seconds:
            return CodecChoice(candidate.name, found, meets_target=True)
        if fastest is None or seconds < fastest[0]:
            fastest = (seconds, CodecChoice(candidate.name, found, meets_target=False))
    if fastest is not None:
        return fastest[1]
    return CodecChoice(candidates[0].name, plan(candidates[0].costs, options=options), meets_target=False)


@dataclass(frozen=True, slots=True)
class IoDemand:
    """A request that could use the link now."""

    request_id: str
    position: int
    """m: the token whose computation the next fetched chunk saves, that is, the end of what is not yet fetched."""
    io_token_seconds: float
    """Link and decoding, seconds per token."""


def most_valuable(demands: Sequence[IoDemand], compute: ComputeModel) -> IoDemand | None:
    """The request to which the next fetch goes: the one with the largest (alpha + beta m) per second of I/O.

    A second of link is worth what it saves in compute. Late tokens cost most, so long prompts go first. Ties go to
    the earlier one in the list; None if there is none. Ours.
    """
    return max(demands, key=lambda demand: _worth(demand, compute), default=None)


def _worth(demand: IoDemand, compute: ComputeModel) -> float:
    saved = compute.marginal_seconds(demand.position)
    return saved / demand.io_token_seconds if demand.io_token_seconds > 0.0 else float("inf")
