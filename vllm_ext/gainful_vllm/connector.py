"""`SparKVConnector`: what vLLM calls. A shell: it builds the part of its role and hands every call on, guarded.

An exception in a hook ends the engine, so none leaves here; a part that fails offers nothing, and the engine computes.
Construction is the exception: what is wrong or dangerous is refused there.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorRole

from gainful import hosts
from gainful.sparkv.stores import open_store
from gainful_vllm import SCHEDULER
from gainful_vllm.engine import describe_engine
from gainful_vllm.guard import guarded, logger
from gainful_vllm.meta import StepMeta, WorkerMeta
from gainful_vllm.options import read_options
from gainful_vllm.refusals import check_cache, check_engine, choose_mode
from gainful_vllm.scheduler_part import SchedulerPart
from gainful_vllm.stats import SparKVMetrics, SparKVStats
from gainful_vllm.worker_part import WorkerPart

if TYPE_CHECKING:
    import torch
    from vllm.config import VllmConfig
    from vllm.forward_context import ForwardContext
    from vllm.v1.attention.backend import AttentionMetadata
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.outputs import KVConnectorOutput
    from vllm.v1.request import Request

__all__ = ["SparKVConnector"]


class SparKVConnector(KVConnectorBase_V1):
    """One instance in the scheduler's process and one in each worker's."""

    def __init__(self, vllm_config: "VllmConfig", role: KVConnectorRole, kv_cache_config: "KVCacheConfig") -> None:
        """Called once per process.

        Raises:
            ConfigError: An option or a setting of the engine is wrong or dangerous; the message says which flag to set.
            StoreError: The store's folder cannot be used.
        """
        super().__init__(vllm_config=vllm_config, role=role, kv_cache_config=kv_cache_config)
        hosts.require("vllm")
        options = read_options(self._kv_transfer_config.kv_connector_extra_config)
        check_engine(vllm_config, options)
        check_cache(kv_cache_config)
        mode = choose_mode(vllm_config, options)
        engine = describe_engine(vllm_config, kv_cache_config, options)
        store = open_store(options.store, options.store_options)
        self._failed_hooks: set[str] = set()
        self.scheduler_part = self.worker_part = None
        if role == KVConnectorRole.SCHEDULER:
            self.scheduler_part = SchedulerPart(engine, store, mode)
            hint = "" if mode == "two_pointer" else f"; --scheduler-cls {SCHEDULER} makes two_pointer possible"
            logger.info("gainful: SparKVConnector, mode %s, codec %s%s", mode, options.codec, hint)
        else:
            self.worker_part = WorkerPart(engine, store)

    def hook_failed(self, name: str) -> bool:
        """Count a hook that raised; true the first time, for the log."""
        part = self.scheduler_part or self.worker_part
        part.counters.add("fallbacks", "hook failed")
        is_new = name not in self._failed_hooks
        self._failed_hooks.add(name)
        return is_new

    @property
    def requires_kv_delivery(self) -> bool:
        """What is not saved is computed again."""
        return False

    @classmethod
    def requires_piecewise_for_cudagraph(cls, extra_config: dict[str, Any]) -> bool:
        """`layerwise` waits inside the forward, which a whole graph would skip; requests may choose it."""
        return True

    # scheduler

    @guarded()
    def on_new_request(self, request: "Request") -> None:
        """Once per request."""
        self.scheduler_part.add(request)

    @guarded(lambda: (0, False))
    def get_num_new_matched_tokens(self, request: "Request", num_computed_tokens: int) -> tuple[int | None, bool]:
        """For waiting requests, perhaps in every step."""
        return self.scheduler_part.matched(request, num_computed_tokens)

    def has_met(self, request: "Request") -> bool:
        """For running requests, before each step: by `SparKVScheduler` alone."""
        return bool(self._has_met(request))

    @guarded()
    def _has_met(self, request: "Request") -> bool:
        return self.scheduler_part.has_met(request)

    @guarded()
    def step_limit(self, request: "Request") -> int | None:
        """Most tokens of the next step, for the only request there is: by `SparKVScheduler` alone."""
        return self.scheduler_part.step_limit(request)

    def update_state_after_alloc(self, request: "Request", blocks: "KVCacheBlocks", num_external_tokens: int) -> None:
        """After blocks were allocated; from here on what was promised must be filled, or reported as failed."""
        if not self._allocated(request, blocks, num_external_tokens) and num_external_tokens:
            self._promise_lost(blocks)

    @guarded(lambda: False)
    def _allocated(self, request: "Request", blocks: "KVCacheBlocks", num_external_tokens: int) -> bool:
        self.scheduler_part.allocated(request, blocks.get_block_ids()[0], num_external_tokens)
        return True

    @guarded()
    def _promise_lost(self, blocks: "KVCacheBlocks") -> None:
        self.scheduler_part.promise_lost(blocks.get_block_ids()[0])

    def build_connector_meta(self, scheduler_output: "SchedulerOutput") -> StepMeta:
        """Once per step, also when nothing is scheduled."""
        meta = self.scheduler_part.take_meta()
        self._plan_step(meta, scheduler_output)
        return meta

    @guarded()
    def _plan_step(self, meta: StepMeta, scheduler_output: "SchedulerOutput") -> None:
        self.scheduler_part.plan_step(meta, scheduler_output)

    @guarded()
    def update_connector_output(self, connector_output: "KVConnectorOutput") -> None:
        """After each step."""
        meta = connector_output.kv_connector_worker_meta
        if isinstance(meta, WorkerMeta):
            self.scheduler_part.learn(meta, self._kv_cache_manager)

    @guarded(lambda: (False, None))
    def request_finished(self, request: "Request", block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        """Once per request, however it ended."""
        return False, self.scheduler_part.finish(request)

    @guarded(lambda: False)
    def reset_cache(self) -> bool:
        """`reset_prefix_cache(reset_connector=True)`: what was stored so far is never used again by this engine."""
        self.scheduler_part.renew()
        return True

    # worker

    def register_kv_caches(self, kv_caches: "dict[str, torch.Tensor]") -> None:
        """Once, at the end of the start; a cache that is not as it was described is refused, too."""
        self.worker_part.register(kv_caches)

    def bind_connector_metadata(self, connector_metadata: StepMeta) -> None:  # type: ignore[override]
        """Before each forward; `start_load_kv` may come after it."""
        super().bind_connector_metadata(connector_metadata)
        if not self._begin_step(connector_metadata):
            self._lose_promises(connector_metadata)

    @guarded(lambda: False)
    def _begin_step(self, meta: StepMeta) -> bool:
        self.worker_part.begin_step(meta)
        return True

    @guarded()
    def _lose_promises(self, meta: StepMeta) -> None:
        self.worker_part.lose_promises(meta)

    def start_load_kv(self, forward_context: "ForwardContext", **kwargs: Any) -> None:
        """Loads have begun in `bind_connector_metadata`."""

    @guarded()
    def wait_for_layer_load(self, layer_name: str) -> None:
        """Before each layer's attention."""
        self.worker_part.wait_for_layer(layer_name)

    def save_kv_layer(
        self, layer_name: str, kv_layer: "torch.Tensor", attn_metadata: "AttentionMetadata", **kwargs: Any
    ) -> None:
        """Whole prompts are saved, by `wait_for_save`."""

    @guarded()
    def wait_for_save(self) -> None:
        """After each forward."""
        self.worker_part.save(self._get_connector_metadata())

    @guarded(lambda: (None, None))
    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str] | None, set[str] | None]:
        """After each forward."""
        return None, self.worker_part.take_received() or None

    @guarded(set)
    def get_block_ids_with_load_errors(self) -> set[int]:
        """After `get_finished`."""
        return self.worker_part.take_lost_blocks()

    @guarded()
    def build_connector_worker_meta(self) -> WorkerMeta:
        """At the end of each step."""
        return self.worker_part.report()

    def clear_connector_metadata(self) -> None:
        """The step is over."""
        super().clear_connector_metadata()
        self._end_step()

    @guarded()
    def _end_step(self) -> None:
        self.worker_part.end_step()

    # both

    @guarded()
    def shutdown(self) -> None:
        """Once, when the process ends."""
        (self.scheduler_part or self.worker_part).close()

    @guarded()
    def get_kv_connector_stats(self) -> SparKVStats | None:
        """After each step, of both instances."""
        return (self.scheduler_part or self.worker_part).counters.take()

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> SparKVStats:
        """In the server's process, from plain data."""
        return SparKVStats(data=data or {})

    @classmethod
    def build_prom_metrics(
        cls,
        vllm_config: "VllmConfig",
        metric_types: dict[Any, Any],
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> SparKVMetrics:
        """Once, in the server's process."""
        return SparKVMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)

    def take_events(self) -> Iterable[Any]:
        """None of our own."""
        return ()
