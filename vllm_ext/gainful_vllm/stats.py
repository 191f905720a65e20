"""Counters of both parts, for vLLM's log line and its Prometheus page."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import KVConnectorPromMetrics, KVConnectorStats

__all__ = ["METRICS", "Counters", "SparKVMetrics", "SparKVStats"]

PREFIX = "gainful:sparkv_"
MAX_OBSERVATIONS = 1000
"""Between two steps; what is beyond is not observed singly."""

METRICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Requests by mode and how they went.", ("mode", "outcome")),
    "tokens": ("Prompt tokens by route: local, computed, streamed, failed.", ("route",)),
    "bytes": ("Encoded bytes loaded from the store and saved to it.", ("direction",)),
    "chunks": ("Chunks by fate: loaded, failed, damaged, duplicate, saved, save_failed, save_dropped.", ("fate",)),
    "seconds": ("Seconds by what they went into: decode, stall, save_copy.", ("stage",)),
    "fallbacks": ("Times that something went wrong and the engine computed instead.", ("reason",)),
}
"""Sums: name -> documentation and labels."""
HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "prefill_seconds": (
        "Seconds from a request's arrival to the end of its prefill.",
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    ),
    "predicted_seconds": (
        "Seconds that its chunks should have taken.",
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    ),
    "over_bound": (
        "Seconds over the least that any assignment of chunks could take, as predicted.",
        (0.9, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0),
    ),
    "met_at_share": ("Where both routes met, as a share of the prompt.", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
}
"""Single values: name -> documentation and bounds."""
GAUGES: Mapping[str, str] = {"link_bytes_per_second": "Estimated bandwidth of the link to the store."}


class Counters:
    """Sums, single values and levels, taken and reset once per step. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._sums: Counter[str] = Counter()
        self._seen: dict[str, list[float]] = {}
        self._levels: dict[str, float] = {}

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Raise one of `METRICS`, with its labels in their order."""
        with self._lock:
            self._sums["|".join((name, *labels))] += by  # type: ignore[assignment]

    def observe(self, name: str, value: float | None) -> None:
        """Note a value of one of `HISTOGRAMS`, unless it is not known."""
        if value is not None:
            with self._lock:
                self._seen.setdefault(name, []).append(value)

    def level(self, name: str, value: float | None) -> None:
        """Set one of `GAUGES`, unless it is not known."""
        if value is not None:
            with self._lock:
                self._levels[name] = value

    def total(self, *name_and_labels: str) -> float:
        """What came together since the last `take`."""
        with self._lock:
            return self._sums["|".join(name_and_labels)]

    def take(self) -> "SparKVStats | None":
        """What came together since the last call; None for nothing."""
        with self._lock:
            if not self._sums and not self._seen:
                return None
            data = {"sums": dict(self._sums), "seen": self._seen, "levels": self._levels}
            self._reset()
        return SparKVStats(data=data)


@dataclass
class SparKVStats(KVConnectorStats):
    """Plain data, since it travels between processes: sums, single values and levels."""

    def __post_init__(self) -> None:
        """Rebuilt from plain data elsewhere, which may be empty."""
        for part in ("sums", "seen", "levels"):
            self.data.setdefault(part, {})

    def reset(self) -> None:
        """Forget everything."""
        self.data = {}
        self.__post_init__()

    def aggregate(self, other: KVConnectorStats) -> "SparKVStats":
        """Merge another's: sums add up, the latest level counts."""
        for key, value in other.data.get("sums", {}).items():
            self.data["sums"][key] = self.data["sums"].get(key, 0) + value
        for name, values in other.data.get("seen", {}).items():
            self.data["seen"][name] = [*self.data["seen"].get(name, []), *values][:MAX_OBSERVATIONS]
        self.data["levels"] |= other.data.get("levels", {})
        return self

    def reduce(self) -> dict[str, int | float]:
        """For vLLM's log line: the sums without zeros, and the levels."""
        sums = {key.replace("|", "_").replace(" ", "_"): value for key, value in sorted(self.data["sums"].items())}
        shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in sums.items()}
        return {**shown, **{name: round(value) for name, value in self.data["levels"].items()}}

    def is_empty(self) -> bool:
        """Nothing happened."""
        return not self.data["sums"] and not self.data["seen"]


class SparKVMetrics(KVConnectorPromMetrics):
    """`gainful:sparkv_...` on the server's page of metrics."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        names = self._labelnames
        self._sums = {
            name: self._counter_cls(name=PREFIX + name, documentation=text, labelnames=[*names, *labels])
            for name, (text, labels) in METRICS.items()
        }
        self._seen = {
            name: self._histogram_cls(name=PREFIX + name, documentation=text, labelnames=names, buckets=bounds)
            for name, (text, bounds) in HISTOGRAMS.items()
        }
        self._levels = {
            name: self._gauge_cls(name=PREFIX + name, documentation=text, labelnames=names)
            for name, text in GAUGES.items()
        }

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Called with what one step brought; what it does not know is left out, since it may be a newer version's."""
        values = self.per_engine_labelvalues[engine_idx]
        for key, by in transfer_stats_data.get("sums", {}).items():
            name, *labels = key.split("|")
            if name in METRICS and len(labels) == len(METRICS[name][1]) and by > 0:
                self._sums[name].labels(*values, *labels).inc(by)
        for name, seen in transfer_stats_data.get("seen", {}).items():
            for value in seen if name in HISTOGRAMS else ():
                self._seen[name].labels(*values).observe(value)
        for name, value in transfer_stats_data.get("levels", {}).items():
            if name in GAUGES:
                self._levels[name].labels(*values).set(value)
