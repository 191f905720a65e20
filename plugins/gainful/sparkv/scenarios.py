"""A simulated 8B model and what may happen while its cache is loaded: the table and the sweep of the command.

Every constant is ours but for the shape of the model, which is that of an 8B with grouped queries: 8.03e9 weights,
32 layers, width 4,096, 8 key-value heads of 128. From it follow 2 x 8.03e9 operations per token for alpha,
4 x 32 x 4,096 per pair of tokens for beta, and 2 x 32 x 8 x 128 x 2 bytes = 131,072 bytes per token in bf16. Wire bytes
are a quarter of that, as with 4 bits. The engine sustains 2e13 operations a second, about a large on-device
accelerator; with 16,384 tokens and 640 Mbit/s the routes are then a factor of 2.5 apart. kappa is zero, the round
trip 50 ms, the chunk 1,024 tokens as in the paper.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gainful.sparkv import traces
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import ComputeModel, RouteCosts, route_costs
from gainful.sparkv.link import LinkEstimate, window_chunks
from gainful.sparkv.planner import Plan, Prediction, plan
from gainful.sparkv.simulate import Race, Situation, compute_only_s, hindsight_s, race, static_s, stream_only_s
from gainful.sparkv.traces import RateTrace
from gainful.sparkv.unknown import Unknown

__all__ = ["SWEEP_RTT_MS", "SWEEP_TOKENS", "Cell", "Outcome", "Setting", "outcome_of", "scenarios", "sweep"]

OPERATIONS_PER_SECOND = 2e13
WEIGHTS, LAYERS, WIDTH = 8.03e9, 32, 4096
WIRE_BYTES_PER_TOKEN = 2 * 32 * 8 * 128 * 2 // 4

SWEEP_GBIT = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
SWEEP_RTT_MS = (0.0, 20.0, 100.0)
SWEEP_TOKENS = (2048, 4096, 8192, 16384, 32768, 65536)

_MBIT = 1e6 / 8
_TRACE_SECONDS = 120.0
"""Drawn rates; the last one holds from then on."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One request of the simulated model."""

    num_tokens: int = 16384
    mbit_per_second: float = 640.0
    round_trip_ms: float = 50.0
    chunk_tokens: int = 1024

    @property
    def bytes_per_second(self) -> float:
        """Of the link, as planned."""
        return self.mbit_per_second * _MBIT

    @property
    def layout(self) -> ChunkLayout:
        """Whole chunks only; the tokens after them are computed either way."""
        chunk_bytes = self.chunk_tokens * WIRE_BYTES_PER_TOKEN
        return ChunkLayout(self.num_tokens // self.chunk_tokens, self.chunk_tokens, chunk_bytes)

    @property
    def link(self) -> LinkEstimate:
        """As if it had been observed."""
        rate = self.bytes_per_second
        return LinkEstimate(rate, rate, rate, self.round_trip_ms / 1000, num_samples=1)

    @property
    def costs(self) -> RouteCosts:
        """At the planned rates."""
        alpha, beta = 2 * WEIGHTS / OPERATIONS_PER_SECOND, 4 * LAYERS * WIDTH / OPERATIONS_PER_SECOND
        compute = ComputeModel(
            step_seconds=0.0, token_seconds=alpha, pair_seconds=beta, num_samples=1, relative_error=0.0
        )
        costs = route_costs(self.layout, compute, self.link)
        assert not isinstance(costs, Unknown)  # noqa: S101 - both models are known
        return costs


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds of each strategy in one situation; infinity for never."""

    name: str
    compute_only_s: float
    stream_only_s: float
    static_s: float
    """The best split at the planned rates, never changed."""
    two_pointers_s: float
    whole_steps_s: float
    """Two pointers in an engine that finishes its step, one chunk long, before it takes anything over."""
    advised_s: float
    """The same, but where the plan says that streaming alone is about as good the engine does not begin at all."""
    hindsight_s: float
    plan: Plan
    race: Race


Cell: TypeAlias = tuple[Setting, Outcome]


def scenarios(setting: Setting, *, seed: int = 0, recorded: RateTrace | None = None) -> Iterator[Cell]:
    """What the table shows: rates that stay, that change, that jitter, and a recording if there is one."""
    rate = setting.bytes_per_second
    steady, full = traces.constant(rate), traces.constant(1.0)
    situations: Mapping[str, tuple[RateTrace, RateTrace]] = {
        "nothing changes": (steady, full),
        "bandwidth / 4 after 1 s": (traces.step(rate, rate / 4, 1.0), full),
        "link dead after 2 s": (traces.outage(rate, 2.0), full),
        "outage from 1 s to 3 s": (traces.outage(rate, 1.0, 3.0), full),
        "compute / 3 after 1 s": (steady, traces.step(1.0, 1 / 3, 1.0)),
        "jitter": (traces.jitter(rate, 0.5, every_s=0.1, seconds=_TRACE_SECONDS, seed=seed), full),
        "Wi-Fi-like": (traces.wifi(rate, seconds=_TRACE_SECONDS, seed=seed), full),
    }
    for name, (link, engine) in situations.items():
        yield setting, outcome_of(name, setting, link, engine)
    if recorded is not None:
        yield setting, outcome_of("recording", setting, recorded, full)


def outcome_of(name: str, setting: Setting, link: RateTrace, engine: RateTrace) -> Outcome:
    """All strategies in one situation. The plan knows the setting's rates, the race knows nothing but its window."""
    situation = Situation(setting.layout, setting.costs, link, engine)
    planned = plan(situation.costs)
    assert isinstance(planned.prediction, Prediction)  # noqa: S101 - a setting knows its rates
    window = window_chunks(setting.link, setting.chunk_tokens * WIRE_BYTES_PER_TOKEN)
    raced = race(situation, window_chunks=window)
    in_steps = race(situation, window_chunks=window, interruptible=False).seconds
    streamed = stream_only_s(situation)
    return Outcome(
        name,
        compute_only_s=compute_only_s(situation),
        stream_only_s=streamed,
        static_s=static_s(situation, planned.prediction.hybrid_split),
        two_pointers_s=raced.seconds,
        whole_steps_s=in_steps,
        advised_s=streamed if planned.route == "stream" else in_steps,
        hindsight_s=hindsight_s(situation),
        plan=planned,
        race=raced,
    )


def sweep(chunk_tokens: int) -> Iterator[Cell]:
    """Steady rates over bandwidth, round trip and length of the prompt."""
    for round_trip_ms in SWEEP_RTT_MS:
        for gbit in SWEEP_GBIT:
            for num_tokens in SWEEP_TOKENS:
                setting = Setting(num_tokens, gbit * 1000, round_trip_ms, chunk_tokens)
                link = traces.constant(setting.bytes_per_second)
                yield setting, outcome_of("steady", setting, link, traces.constant(1.0))
