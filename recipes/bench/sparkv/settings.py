"""What is measured: one model, one machine's engines, and the conditions that every method meets."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

BREAK_EVEN = "break-even"
FAST_MBIT = 20_000.0
"""Between runs, and while the store is filled."""


@dataclass(frozen=True)
class Condition:
    """Link and company of a request."""

    tokens: int
    """Of the prompt."""
    mbit: float | None = None
    """None: where computing and streaming take equally long, as measured at the start."""
    rtt_ms: float = 0.0
    factor: float = 1.0
    """The rate is multiplied by this on the way; 0 is an outage without an end."""
    after_share: float = 0.15
    """When: this share of the time that plain prefill takes, as measured at the start."""
    busy: int = 0
    """Other processes that compute."""
    prompts: int = 1
    """Requests that arrive together."""

    @property
    def name(self) -> str:
        """Unique in a setup, and a heading in tables."""
        parts = [f"{self.tokens:,} tokens", BREAK_EVEN if self.mbit is None else f"{self.mbit:g} Mbit/s"]
        parts += [f"RTT {self.rtt_ms:g} ms"] if self.rtt_ms else []
        parts += ["outage"] if self.factor == 0 else [f"x {self.factor:g}"] if self.changes else []
        parts += [f"{self.busy} busy process{'es' if self.busy > 1 else ''}"] if self.busy else []
        parts += [f"{self.prompts} requests"] if self.prompts > 1 else []
        return ", ".join(parts)

    @property
    def changes(self) -> bool:
        """Whether the rate does."""
        return self.factor != 1.0

    @property
    def is_sweep(self) -> bool:
        """One request, a steady link, an engine of its own."""
        return not self.changes and not self.busy and self.prompts == 1


@dataclass(frozen=True)
class Setup:
    """One run of the benchmark."""

    model: str
    dtype: str
    """Of weights and cache; only float32 makes tokens comparable."""
    conditions: tuple[Condition, ...]
    methods: tuple[str, ...]
    repeats: int
    group: str = ""
    """What the timings belong to, where there are several of one model."""
    step_tokens: int = 256
    """Most tokens of an engine step, except where a prompt is one step."""
    block_tokens: int = 64
    """Of the engine's cache, which is what is streamed at once; vLLM's own choice on CPUs is 128."""
    threads: int = 1
    output_tokens: int = 8
    multiprocess: bool = True
    """vLLM's own default; one process per engine starts faster."""
    seed: int = 7

    @property
    def digest(self) -> str:
        """Names the folder of its runs. More conditions, methods and repeats can be added to those that are there."""
        added = ("conditions", "methods", "repeats")
        plain = {name: value for name, value in asdict(self).items() if name not in added}
        plain |= {"max_tokens": self.max_tokens}  # engines and calibration are made for it
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def max_tokens(self) -> int:
        """Of the longest prompt."""
        return max(condition.tokens for condition in self.conditions)


def conditions(
    tokens: Sequence[int], mbit: Sequence[float], rtts_ms: Sequence[float], extra: Sequence[str]
) -> tuple[Condition, ...]:
    """The sweep, and at the break-even rate of the first prompt what `extra` names; what matters most comes first."""
    rates: list[float | None] = [None, *mbit]
    sweep = [Condition(num, rate, rtt) for num in tokens for rtt in rtts_ms for rate in rates]
    first = tokens[0]
    known = {
        "drop": Condition(first, factor=0.25),
        "outage": Condition(first, factor=0.0),
        "busy": Condition(first, busy=1),
        "pair": Condition(first, prompts=2),
    }
    return (sweep[0], *(known[name] for name in extra), *sweep[1:])


EXTRA = ("drop", "outage", "busy", "pair")
