"""What was measured of engine and link, and what follows from it for a request. The formulas are the core's."""

import math
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from gainful.errors import InputError
from gainful.sparkv.calibration import Calibration, load_calibration
from gainful.sparkv.chunks import ChunkLayout
from gainful.sparkv.costs import Bandwidth, ComputeModel, PrefillSample, RouteCosts, route_costs
from gainful.sparkv.link import LinkEstimator
from gainful.sparkv.planner import RACING, Plan, plan
from gainful.sparkv.prefix_plan import PrefixPlan, plan_prefix, probing
from gainful.sparkv.trim import trimmed_step
from gainful.sparkv.unknown import Unknown
from gainful_vllm.guard import logger

if TYPE_CHECKING:
    from gainful_vllm.engine import Engine

__all__ = ["Knowledge", "chunk_layout"]

STALE_SECONDS = 30.0
"""A link that was not used for so long may have become another one. Ours."""


class Knowledge:
    """One per scheduler part; observed by its hooks and threads, asked by its hooks."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._link = LinkEstimator()
        self._used_s = 0.0
        folder = engine.options.calibration_folder
        self._folder = folder.expanduser() if folder is not None else None
        self._calibration = self._load()
        self._num_unsaved = 0

    def _load(self) -> Calibration:
        engine, options = self._engine, self._engine.options
        if self._folder is not None:
            try:
                return load_calibration(
                    self._folder, engine.model_name, engine.device_name, refit_every=options.refit_steps
                )
            except (InputError, OSError) as error:
                logger.warning("gainful: %s; measuring anew", error)
        return Calibration(engine.model_name, engine.device_name, refit_every=options.refit_steps)

    # observations

    def observe_step(self, sample: PrefillSample) -> bool:
        """One measured prefill step; true if enough came in for a new fit, which is `refit`'s affair."""
        with self._lock:
            self._calibration.observe(sample)
            self._num_unsaved += 1
            fitted = self._calibration.fitted
            return isinstance(fitted, Unknown) or self._num_unsaved >= self._engine.options.refit_steps

    def observe_transfer(self, num_bytes: int, seconds: float) -> None:
        """As in `LinkEstimator`."""
        with self._lock:
            self._link.observe_transfer(num_bytes, seconds)
            self._used_s = time.monotonic()

    def observe_round_trip(self, seconds: float) -> None:
        """As in `LinkEstimator`."""
        with self._lock:
            self._link.observe_round_trip(seconds)

    def refit(self) -> None:
        """Fit, and write down what was measured. Not for hooks: it writes a file."""
        with self._lock:
            model = self._calibration.model()
            worth_writing = not isinstance(model, Unknown) and self._num_unsaved >= self._engine.options.refit_steps
            self._num_unsaved = 0 if worth_writing else self._num_unsaved
        if worth_writing and self._folder is not None:
            try:
                self._calibration.save(self._folder)
            except OSError as error:
                logger.warning("gainful: measured prefill steps were not written: %s", error)

    # what follows

    @property
    def bytes_per_second(self) -> float | None:
        """Of the link, as estimated; None while unknown."""
        with self._lock:
            found = self._link.estimate()
        return None if isinstance(found, Unknown) else found.bytes_per_second

    @property
    def compute(self) -> ComputeModel | Unknown:
        """Of the engine, as fitted last."""
        return self._calibration.fitted

    def step_seconds(self, num_tokens: int, position: int) -> float:
        """Of one engine step; 0 while unknown."""
        model = self.compute
        return 0.0 if isinstance(model, Unknown) else model.seconds(num_tokens, position)

    @property
    def is_stale(self) -> bool:
        """Whether what is known of the link is old, so that a plan that does not use it should not be followed."""
        return time.monotonic() - self._used_s > STALE_SECONDS

    def plan_suffix(self, layout: ChunkLayout) -> Plan:
        """Two pointers: the best split, or which route does it alone."""
        return plan(self._costs(layout), num_chunks=layout.num_chunks, options=RACING)

    def is_worth_a_try(self, layout: ChunkLayout) -> bool:
        """Whether a race would gain if the link gave again what it gave lately at its best, or gives who knows what.

        A race costs an engine that computes anyway next to nothing; one that is never run measures nothing either, and
        a link that was slow once would be left for good.
        """
        return self.is_stale or plan(self._costs(layout, "high"), options=RACING).route != "compute"

    def trimmed_step(
        self, computed_tokens: int, staged_token: int, chunk_bytes: int, *, forecast: bool = True
    ) -> int | None:
        """Tokens of a racing request's next step; None while nothing is known. Without a forecast nothing will come."""
        engine, compute, rate = self._engine, self.compute, self.bytes_per_second
        if isinstance(compute, Unknown) or rate is None:
            return None
        return trimmed_step(
            compute,
            computed_tokens,
            staged_token,
            chunk_tokens=engine.chunk_tokens,
            chunk_stream_s=chunk_bytes / rate if rate and forecast else math.inf,
            block_tokens=engine.block_tokens,
            step_tokens=engine.step_tokens,
        )

    def plan_prefix(self, layout: ChunkLayout, *, num_stages: int, at_least: int) -> PrefixPlan:
        """Prefix loads: how much to stream."""
        found = plan_prefix(self._costs(layout), num_chunks=layout.num_chunks, num_stages=num_stages, at_least=at_least)
        return probing(found) if self.is_stale and not at_least else found

    def _costs(self, layout: ChunkLayout, bandwidth: Bandwidth = "expected") -> RouteCosts | Unknown:
        with self._lock:
            compute, link = self._calibration.fitted, self._link.estimate()
        step_tokens = max(self._engine.step_tokens, layout.chunk_tokens)
        return route_costs(layout, compute, link, step_tokens=step_tokens, bandwidth=bandwidth)


def chunk_layout(engine: "Engine", first_chunk: int, sizes: tuple[int, ...]) -> ChunkLayout:
    """Chunks from `first_chunk` on, with the bytes of each."""
    tokens = engine.chunk_tokens
    return ChunkLayout(len(sizes), tokens, np.array(sizes, dtype=np.int64), first_chunk * tokens, engine.block_tokens)
