"""What we rely on in vLLM, by signature; the first to fail when the host moves."""

import inspect

import pytest
from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.sched.output import KVConnectorBlockState, SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

import gainful_vllm
from gainful_vllm.connector import SparKVConnector

HOOKS = {
    "on_new_request": ["request"],
    "get_num_new_matched_tokens": ["request", "num_computed_tokens"],
    "update_state_after_alloc": ["request", "blocks", "num_external_tokens"],
    "build_connector_meta": ["scheduler_output"],
    "update_connector_output": ["connector_output"],
    "request_finished": ["request", "block_ids"],
    "register_kv_caches": ["kv_caches"],
    "bind_connector_metadata": ["connector_metadata"],
    "clear_connector_metadata": [],
    "start_load_kv": ["forward_context", "kwargs"],
    "wait_for_layer_load": ["layer_name"],
    "save_kv_layer": ["layer_name", "kv_layer", "attn_metadata", "kwargs"],
    "wait_for_save": [],
    "get_finished": ["finished_req_ids"],
    "get_block_ids_with_load_errors": [],
    "build_connector_worker_meta": [],
    "get_kv_connector_stats": [],
    "build_kv_connector_stats": ["data"],
    "build_prom_metrics": ["vllm_config", "metric_types", "labelnames", "per_engine_labelvalues"],
    "shutdown": [],
}


def names(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_host_calls_hooks_as_we_take_them(hook):
    assert names(getattr(KVConnectorBase_V1, hook)) == HOOKS[hook]
    assert names(inspect.unwrap(getattr(SparKVConnector, hook))) == HOOKS[hook]


def test_no_abstract_method_is_left():
    assert not SparKVConnector.__abstractmethods__


def test_the_scheduler_has_what_our_subclass_uses():
    assert names(Scheduler._preempt_request)[:2] == ["request", "timestamp"]
    source = inspect.getsource(Scheduler.__init__)
    assert "self.prev_step_scheduled_req_ids" in source
    assert "self.running" in source
    assert "self.connector = " in source
    assert "self.max_num_scheduled_tokens = " in source
    assert "token_budget = self.max_num_scheduled_tokens" in inspect.getsource(Scheduler.schedule)
    assert names(Scheduler.get_request_counts) == []


def test_block_ids_of_scheduled_requests_are_offered_and_blocks_can_be_evicted():
    assert names(KVConnectorBlockState.get_block_ids) == ["req_id"]
    assert "kv_connector_block_state" in SchedulerOutput.__dataclass_fields__
    assert names(KVCacheManager.evict_blocks) == ["block_ids"]


def test_the_cpu_backend_says_how_it_packs_blocks():
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    assert names(_get_attn_isa) == ["dtype", "block_size", "head_size", "kv_cache_dtype"]


def test_the_connector_is_registered_once_by_name(caplog):
    gainful_vllm.register()
    gainful_vllm.register()
    assert KVConnectorFactory.get_connector_class_by_name(gainful_vllm.CONNECTOR) is SparKVConnector


def test_the_scheduler_class_is_where_its_name_says():
    from vllm.utils.import_utils import resolve_obj_by_qualname

    assert issubclass(resolve_obj_by_qualname(gainful_vllm.SCHEDULER), Scheduler)
