"""What the probes of one process did in a step, added up: one line of metrics whenever nothing is in progress."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gainful.infogain.belief import shannon
from gainful.infogain.gain import Reading
from gainful.infogain.services import Services
from gainful.infogain.tracker import Measured
from gainful.infogain.training import TrainingOptions
from gainful.infogain.types import Missing

__all__ = ["ProbeUse", "Tally"]

PREFIX = "infogain/"


@dataclass(slots=True)
class ProbeUse:
    """What the probes of one trajectory cost, as the engine said."""

    num_calls: int = 0
    new_tokens: int = 0
    prompt_tokens: int = 0
    """Of calls whose engine says how many of them it had cached."""
    cached_tokens: int = 0
    seconds: float = 0.0
    """From sending to receiving, added up over calls that overlap."""
    versions: set[int | str] = field(default_factory=set)
    """Of the policy's weights."""


class Tally:
    """Sums over the trajectories that a process has in progress together.

    A trainer starts all rollouts of a step at once, so nothing in progress means that a step is done, or a part of it:
    every line says how many rows it stands for.
    """

    def __init__(self, options: TrainingOptions, services: Services) -> None:
        self._options, self._services = options, services
        self._num_open = 0
        self._judge_before = (0, 0)
        self._clear()

    def begin(self, uid: str) -> None:
        """A trajectory starts."""
        self._num_open += 1
        self._uids.add(uid)

    def add(self, measured: Measured, use: ProbeUse, *, failed_retrievals: int = 0) -> None:
        """A trajectory was measured."""
        sums = self._sums
        sums["rows"] += 1
        sums["searched"] += bool(measured.values)
        sums["probe_calls"] += use.num_calls
        sums["probe_tokens"] += use.new_tokens
        sums["probe_seconds"] += use.seconds
        sums["prompt_tokens"] += use.prompt_tokens
        sums["cached_tokens"] += use.cached_tokens
        sums["waited_seconds"] += measured.waited_s
        sums["judge_seconds"] += measured.judged_s
        sums["retrieval_failures"] += failed_retrievals
        sums["version_mixed"] += len(use.versions) > 1
        sums["judge_reference"] += 2 * self._options.samples**2 * bool(measured.values)
        self._add_path(measured)

    def end(self, step: int) -> dict[str, Any] | None:
        """A trajectory ends, measured or not: the line, if it was the last in progress and any was measured."""
        self._num_open -= 1
        if self._num_open or not self._sums["rows"]:
            return None
        line = {"step": step, **{PREFIX + name: value for name, value in self._values().items()}}
        self._clear()
        return line

    def _clear(self) -> None:
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._uids: set[str] = set()

    def _add_path(self, measured: Measured) -> None:
        sums = self._sums
        sums["gains"] += len(measured.values)
        sums["not_carried"] += sum(value is None for value in measured.values)
        for value in measured.uncertainties:
            if isinstance(value, Missing):
                sums[f"missing_{value.reason}"] += 1
        for place, reading in (("before", measured.readings[:1]), ("after", measured.readings[-1:])):
            self._add_belief(place, reading)

    def _add_belief(self, place: str, readings: Iterable[Reading]) -> None:
        for reading in readings:
            if not isinstance(reading.belief, Missing):
                self._sums[f"beliefs_{place}"] += 1
                self._sums[f"entropy_{place}"] += shannon(reading.belief, miller_madow=False)
                self._sums[f"classes_{place}"] += len(reading.belief.p)
            if not isinstance(reading.gold_mass, Missing):
                self._sums[f"masses_{place}"] += 1
                self._sums[f"mass_{place}"] += reading.gold_mass
                self._sums["smoothing_used"] += self._options.kind == "log" and reading.gold_mass in (0.0, 1.0)

    def _values(self) -> dict[str, float]:
        """Counts as they are, means where a name says so; what has no value is left out."""
        sums, judge = self._sums, self._services.judge
        forwards, hits = judge.num_forwards - self._judge_before[0], judge.num_cache_hits - self._judge_before[1]
        self._judge_before = judge.num_forwards, judge.num_cache_hits
        shares = {
            "probes_per_question": (sums["probe_calls"], len(self._uids)),
            "cached_token_rate": (sums["cached_tokens"], sums["prompt_tokens"]),
            "version_mixed_rate": (sums["version_mixed"], sums["rows"]),
            "not_carried_rate": (sums["not_carried"], sums["gains"]),
        }
        for place in ("before", "after"):
            shares[f"belief_entropy_{place}"] = (sums[f"entropy_{place}"], sums[f"beliefs_{place}"])
            shares[f"classes_{place}"] = (sums[f"classes_{place}"], sums[f"beliefs_{place}"])
            shares[f"gold_mass_{place}"] = (sums[f"mass_{place}"], sums[f"masses_{place}"])
        counts = {name: sums[name] for name in _COUNTED}
        counts |= {name: value for name, value in sums.items() if name.startswith("missing_")}
        means = {name: part / whole for name, (part, whole) in shares.items() if whole}
        return {**counts, "judge_forwards": forwards, "judge_cache_hits": hits, **means}


_COUNTED = (
    "rows",
    "searched",
    "gains",
    "probe_calls",
    "probe_tokens",
    "probe_seconds",
    "waited_seconds",
    "judge_seconds",
    "judge_reference",
    "retrieval_failures",
    "smoothing_used",
)
