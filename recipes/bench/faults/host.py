"""vLLM's own scheduler and cache manager with our connector's parts, and the arithmetic model instead of a runner."""

import copy
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import torch
from faults.model import ArithmeticModel, as_numbers
from faults.server import Server
from faults.store import Faults, FaultyStore
from vllm import SamplingParams
from vllm.distributed.kv_transfer.kv_connector.utils import KVOutputAggregator
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorRole
from vllm.engine.arg_utils import EngineArgs
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import KVConnectorOutput, ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from gainful.sparkv.stores import Store
from gainful_vllm import CONNECTOR, SCHEDULER, register
from gainful_vllm.connector import SparKVConnector

__all__ = ["BLOCK_TOKENS", "STEP_TOKENS", "Host", "host_config", "is_loading", "leaks", "write_model_folder"]

BLOCK_TOKENS = 16
STEP_TOKENS = 64
LONGEST = 1024
HEADS, HEAD_SIZE, LAYERS = 1, 32, 3
ROW_NUMBERS = HEAD_SIZE  # keys and values of 4 bytes, as numbers of 8
ABORTED = RequestStatus.FINISHED_ABORTED


def write_model_folder(folder: Path) -> Path:
    """What vLLM reads of a model before it loads one."""
    from transformers import LlamaConfig

    LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=HEAD_SIZE,
        max_position_embeddings=LONGEST,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)
    return folder


def host_config(folder: Path, num_ranks: int) -> Any:
    """vLLM's configuration; made once, it takes a while."""
    register()
    return EngineArgs(
        model=str(folder),
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        max_model_len=LONGEST,
        block_size=BLOCK_TOKENS,
        max_num_batched_tokens=STEP_TOKENS,
        max_num_seqs=8,
        enable_prefix_caching=True,
        scheduler_cls=SCHEDULER,
        tensor_parallel_size=num_ranks,
        kv_transfer_config={
            "kv_connector": CONNECTOR,
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": {"store": "memory://"},
        },
    ).create_engine_config()


@dataclass
class Answer:
    """What a request got."""

    tokens: list[int] = field(default_factory=list)
    report: dict[str, Any] | None = None


class Host:
    """One engine without a model; steps are called by the one who tests it."""

    def __init__(self, config: Any, inner: Store, num_blocks: int, **options: Any) -> None:
        self.config, self.inner, self.faults = copy.copy(config), inner, Faults()
        self.num_ranks = config.parallel_config.tensor_parallel_size
        self._configure({"store": "memory://", "calibration_folder": None, **options}, num_blocks)
        spec = FullAttentionSpec(block_size=BLOCK_TOKENS, num_kv_heads=HEADS, head_size=HEAD_SIZE, dtype=torch.float32)
        self.layers = [f"model.layers.{layer}.self_attn.attn" for layer in range(LAYERS)]
        groups = [KVCacheGroupSpec(self.layers, spec)]
        self.cache_config = KVCacheConfig(num_blocks=num_blocks, kv_cache_tensors=[], kv_cache_groups=groups)
        hash_fn = get_hash_fn_by_name(self.config.cache_config.prefix_caching_hash_algo)
        init_none_hash(hash_fn)
        self._hasher = get_request_block_hasher(BLOCK_TOKENS, hash_fn)
        self.scheduler = self.config.scheduler_config.get_scheduler_cls()(
            vllm_config=self.config,
            kv_cache_config=self.cache_config,
            structured_output_manager=StructuredOutputManager(self.config),
            block_size=BLOCK_TOKENS,
            log_stats=True,
        )
        self.part = self.scheduler.connector.scheduler_part
        self.part.lookups._store = FaultyStore(inner, self.faults, None)
        self.model = ArithmeticModel(LAYERS, self.num_ranks, ROW_NUMBERS)
        self.workers = [self._worker(rank) for rank in range(self.num_ranks)]
        self._merge = KVOutputAggregator(self.num_ranks)
        self.initial_free = self.num_free
        self.answers: dict[str, Answer] = {}
        self.counters: Counter[str] = Counter()
        self.longest_step_s = 0.0
        self.num_squeezed = 0
        """Preemptions for want of blocks, which nobody injected."""
        self._forced: set[str] = set()
        self.server: Server | None = None
        """Behind `inner`, if it is a process of its own."""

    def _configure(self, options: dict[str, Any], num_blocks: int) -> None:
        config = self.config
        config.kv_transfer_config = copy.copy(config.kv_transfer_config)
        config.kv_transfer_config.kv_connector_extra_config = options
        config.cache_config = copy.copy(config.cache_config)
        config.cache_config.num_gpu_blocks = num_blocks

    def _worker(self, rank: int) -> SparKVConnector:
        config = copy.copy(self.config)
        config.parallel_config = copy.copy(config.parallel_config)
        config.parallel_config.rank = rank
        worker = SparKVConnector(config, KVConnectorRole.WORKER, self.cache_config)
        shape = (self.cache_config.num_blocks, HEADS, BLOCK_TOKENS, 2 * HEAD_SIZE)
        caches = {name: torch.zeros(shape) for name in self.layers}
        worker.register_kv_caches(caches)
        worker.numbers = [as_numbers(cache) for cache in caches.values()]
        part = worker.worker_part
        part.transfers.store = part.saver._store = FaultyStore(self.inner, self.faults, rank)
        return worker

    @property
    def num_free(self) -> int:
        """Blocks of the cache that no request holds."""
        return self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks()

    def add(self, request_id: str, prompt: Sequence[int], max_tokens: int, **params: Any) -> Request:
        """A request as it comes from a client."""
        sampling = SamplingParams(
            max_tokens=max_tokens,
            temperature=0,
            ignore_eos=True,
            extra_args={"kv_transfer_params": {"sparkv": params}},
        )
        request = Request(request_id, list(prompt), sampling, None, block_hasher=self._hasher)
        self.answers[request_id] = Answer()
        self.scheduler.add_request(request)
        return request

    def request_of(self, prompt: Sequence[int]) -> Request:
        """For its block hashes."""
        return Request("", list(prompt), SamplingParams(), None, block_hasher=self._hasher)

    def stored(self, key: str) -> memoryview | None:
        """The bytes of an entry, if it is there."""
        with self.inner.acquire([key], max_seconds=5.0) as lease:
            data = self.inner.read(lease, key, max_seconds=5.0) if len(lease) else None
        return data if isinstance(data, memoryview) else None

    def step(self) -> None:
        """One step of an engine: schedule, forward, update."""
        start, requeues = REAL_MONOTONIC(), self._requeues()
        output = self.scheduler.schedule()
        self._count_squeezed(output.preempted_req_ids, requeues)
        for worker in self.workers:
            worker.bind_connector_metadata(output.kv_connector_metadata)
        sampled = self._forward(output) if output.total_num_scheduled_tokens else {}
        results = [self._finalize(worker, output, sampled) for worker in self.workers]
        merged = self._merge.aggregate(results)
        self._note(self.scheduler.update_from_output(output, merged))
        self.longest_step_s = max(self.longest_step_s, REAL_MONOTONIC() - start)

    def _requeues(self) -> dict[str, int]:
        return {name: getattr(tracked, "num_requeues", 0) for name, tracked in self.part.requests.items()}

    def _count_squeezed(self, preempted: set[str], requeues: dict[str, int]) -> None:
        """Preempted for want of blocks: neither by us, nor because both routes have met."""
        after, forced = self._requeues(), self._forced
        self.num_squeezed += sum(after.get(name) == requeues.get(name) for name in preempted - forced)
        self._forced = set()

    def _forward(self, output: Any) -> dict[str, list[int]]:
        for layer in self.layers:
            for worker in self.workers:
                worker.wait_for_layer_load(layer)
        return {name: self._compute(name, count) for name, count in output.num_scheduled_tokens.items()}

    def _compute(self, request_id: str, num_tokens: int) -> list[int]:
        request = self.scheduler.requests[request_id]
        end = request.num_computed_tokens
        start = end - num_tokens
        blocks = torch.tensor(self.scheduler.kv_cache_manager.get_block_ids(request_id)[0]).numpy()
        before = self._sum_before(blocks, start)
        numbers, before = self.model.numbers(start, request.all_token_ids[start:end], before)
        places = range(start, end)
        rows, columns = blocks[[place // BLOCK_TOKENS for place in places]], [p % BLOCK_TOKENS for p in places]
        for rank, worker in enumerate(self.workers):
            for layer, cache in enumerate(worker.numbers):
                cache[rows, columns] = self.model.rows(layer, rank, numbers)
        return [self.model.next_token(before)] if end >= request.num_tokens else []

    def _sum_before(self, blocks: Any, num_tokens: int) -> int:
        """Over all that the request's blocks hold, from every layer and rank."""
        used = blocks[: -(-num_tokens // BLOCK_TOKENS)]
        total = 0
        for rank, worker in enumerate(self.workers):
            for layer, cache in enumerate(worker.numbers):
                rows = cache[used].reshape(-1, ROW_NUMBERS)[:num_tokens]
                total += self.model.sum_before(layer, rank, rows)
        return total & ((1 << 64) - 1)

    def _finalize(self, worker: SparKVConnector, output: Any, sampled: dict[str, list[int]]) -> ModelRunnerOutput:
        """In the order of vLLM's runner."""
        worker.wait_for_save()
        found = KVConnectorOutput()
        done = worker.get_transfer_results(output.finished_req_ids)
        found.finished_sending, found.finished_recving = done.finished_sending, done.finished_recving
        found.failed_recving = done.failed_recving
        found.invalid_block_ids = worker.get_block_ids_with_load_errors()
        found.kv_connector_stats = worker.get_kv_connector_stats()
        found.kv_connector_worker_meta = worker.build_connector_worker_meta()
        worker.clear_connector_metadata()
        return ModelRunnerOutput(
            req_ids=list(sampled),
            req_id_to_index={name: index for index, name in enumerate(sampled)},
            sampled_token_ids=list(sampled.values()),
            kv_connector_output=found,
        )

    def _note(self, outputs: dict[int, Any]) -> None:
        for group in outputs.values():
            for output in group.outputs:
                answer = self.answers[output.request_id]
                answer.tokens += output.new_token_ids
                if output.kv_transfer_params:
                    answer.report = output.kv_transfer_params["sparkv"]
            stats = group.scheduler_stats
            if stats is not None and stats.kv_connector_stats:
                self.counters.update(stats.kv_connector_stats["sums"])

    # what clients and operators do, and what happens to an engine

    def abort(self, request_id: str) -> bool:
        """Its client has gone."""
        return bool(self.scheduler.finish_requests(request_id, ABORTED))

    def preempt(self, request: Request) -> None:
        """As the scheduler does when blocks run out."""
        scheduler = self.scheduler
        self._forced.add(request.request_id)
        scheduler.running.remove(request)
        scheduler._preempt_request(request, time.monotonic())
        scheduler.prev_step_scheduled_req_ids.discard(request.request_id)

    def reset_prefix_cache(self, running_too: bool) -> bool:
        """As an operator does."""
        if running_too and is_loading(self.scheduler):
            return False
        self._forced |= {request.request_id for request in self.scheduler.running if running_too}
        return bool(self.scheduler.reset_prefix_cache(reset_running_requests=running_too))

    def leaks(self) -> dict[str, Any]:
        """What is left of requests though there are none; empty if all is well."""
        return leaks(self.scheduler, [worker.worker_part for worker in self.workers], self.inner, self.initial_free)

    def close(self) -> None:
        """End all threads."""
        self.faults.release()
        for connector in (*self.workers, self.scheduler.connector):
            connector.shutdown()


def is_loading(scheduler: Any) -> bool:
    """Blocks wait for a load, perhaps of a request that was aborted: vLLM itself cannot reset its cache then."""
    return bool(scheduler.kv_holding_waiting) or any(request.is_finished() for request in scheduler.requests.values())


def leaks(scheduler: Any, workers: Sequence[Any], inner: Store, initial_free: int) -> dict[str, Any]:
    """Of any engine, by what is left of it; zeros are left out."""
    part, stat = scheduler.connector.scheduler_part, inner.stat(max_seconds=5)
    found: dict[str, Any] = {
        "requests of the scheduler": len(scheduler.requests),
        "requests of the scheduler part": len(part.requests) + len(part._hosts),
        "blocks held": initial_free - scheduler.kv_cache_manager.block_pool.get_num_free_blocks(),
        "leases": stat.num_leased,
    }
    for rank, own in enumerate(workers):
        found |= {
            f"state of worker {rank}": len(own.racers) + len(own.loaders) + len(own.layer_loads),
            f"staging bytes of worker {rank}": own.transfers.staging.held_bytes,
            f"bytes to save of worker {rank}": own.saver._budget.held_bytes,
            f"transfers of worker {rank}": own.transfers.meter._running,
        }
    return {name: value for name, value in found.items() if value}


REAL_MONOTONIC = time.monotonic
