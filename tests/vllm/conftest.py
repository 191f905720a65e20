"""Real vLLM on a CPU, in this process, with a model of random weights made on the spot."""

import gc
import os
import random
import runpy
import time
from contextlib import ExitStack, contextmanager

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import pytest

from gainful_vllm import CONNECTOR, SCHEDULER

BLOCK_TOKENS = 32
STEP_TOKENS = 128


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A tiny Llama; its outputs depend on every block of its cache."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    repository = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    make = runpy.run_path(os.path.join(repository, "tests/fixtures/tiny_vllm/make_model.py"))
    make["main"](folder)
    return folder


def _transfer_config(**options):
    return {
        "kv_connector": CONNECTOR,
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"store": "memory://tests", "calibration_folder": None, **options},
    }


@pytest.fixture(scope="session")
def transfer_config():
    """`transfer_config(mode="layerwise")`: what `kv_transfer_config` is set to."""
    return _transfer_config


class Engine:
    """An LLM with the parts of its connector."""

    def __init__(self, llm):
        self.llm = llm
        self.core = llm.llm_engine.engine_core.engine_core
        self.scheduler = self.core.scheduler
        self.connector = self.scheduler.connector

    @property
    def scheduler_part(self):
        return self.connector.scheduler_part

    @property
    def worker_part(self):
        from vllm.distributed.kv_transfer import get_kv_transfer_group

        return get_kv_transfer_group().worker_part

    def generate(self, prompts, max_tokens=8, **params):
        """Token ids and reports of prompts that run together."""
        from vllm import SamplingParams

        sampling = SamplingParams(
            max_tokens=max_tokens,
            temperature=0,
            ignore_eos=True,
            extra_args={"kv_transfer_params": {"sparkv": params}},
        )
        prompts = [{"prompt_token_ids": ids} for ids in prompts]
        outputs = self.llm.generate(prompts, sampling, use_tqdm=False)
        tokens = [list(output.outputs[0].token_ids) for output in outputs]
        return tokens, [(output.kv_transfer_params or {}).get("sparkv") for output in outputs]

    def one(self, ids, **params):
        """The same for one prompt."""
        tokens, reports = self.generate([ids], **params)
        return tokens[0], reports[0]

    def block_hashes(self, ids):
        """vLLM's chain for a prompt."""
        from vllm import SamplingParams
        from vllm.v1.request import Request

        return Request("hashes", ids, SamplingParams(), None, block_hasher=self.core.request_block_hasher).block_hashes

    def forget(self):
        """Empty the engine's own prefix cache, when what is to be saved is written."""
        assert self.worker_part.saver.flush(20)
        assert self.llm.reset_prefix_cache()

    @contextmanager
    def unhurried(self, max_seconds=1.0):
        """A step begins when the link has brought one chunk more: who wins a race is not left to the machine's load."""
        schedule, landed = self.scheduler.schedule, {}

        def wait_then_schedule(*args, **kwargs):
            until = time.monotonic() + max_seconds
            while not self._link_has_moved(landed) and time.monotonic() < until:
                time.sleep(0.001)
            landed.update({name: racer.race.fetched_chunks for name, racer in self.worker_part.racers.items()})
            return schedule(*args, **kwargs)

        self.scheduler.schedule = wait_then_schedule
        try:
            yield
        finally:
            del self.scheduler.schedule

    def _link_has_moved(self, landed):
        asked = all(one.lookup is None or one.lookup.done() for one in self.scheduler_part.requests.values())
        return asked and all(
            racer.race.state != "racing"
            or racer.race.fetched_chunks > landed.get(name, 0)
            or racer.race.fetched_chunks == racer.race.layout.num_chunks
            for name, racer in self.worker_part.racers.items()
        )

    def abort_all(self):
        """Every request, as if its client had gone."""
        self.llm.llm_engine.abort_request(list(self.llm.llm_engine.output_processor.request_states), internal=True)

    def drain(self, max_seconds=20):
        """Step until the scheduler holds nothing."""
        until = time.monotonic() + max_seconds
        while self.scheduler.requests and time.monotonic() < until:
            self.core.step()
        assert not self.scheduler.requests

    def is_clean(self):
        """Nothing of any request is left, in either part."""
        self.core.model_executor.execute_model(self.scheduler.schedule())  # the workers hear of what has ended
        scheduler, worker = self.scheduler_part, self.worker_part
        left = [scheduler.requests, scheduler._hosts, worker.racers, worker.loaders, worker.layer_loads]
        until = time.monotonic() + 10
        while worker.transfers.staging.held_bytes and time.monotonic() < until:
            time.sleep(0.01)  # a read that nobody waits for any more ends by itself
        return not any(left) and worker.transfers.staging.held_bytes == 0


@contextmanager
def _open_engine(model_folder, options=None, **settings):
    """An engine in this process; one at a time."""
    from vllm import LLM
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    chosen = {
        "model": str(model_folder),
        "dtype": "float32",
        "enforce_eager": True,
        "max_model_len": 4096,
        "block_size": BLOCK_TOKENS,
        "max_num_batched_tokens": STEP_TOKENS,
        "max_num_seqs": 8,
        "enable_prefix_caching": True,
        "scheduler_cls": SCHEDULER,
        "kv_transfer_config": _transfer_config(**(options or {})),
        "seed": 0,
        **settings,
    }
    llm = None
    try:
        llm = LLM(**{name: value for name, value in chosen.items() if value is not None})
        yield Engine(llm) if chosen["kv_transfer_config"] else llm
    finally:
        if llm is not None:
            llm.llm_engine.engine_core.shutdown()
        del llm
        cleanup_dist_env_and_memory()
        gc.collect()


@pytest.fixture(scope="session")
def shared(model_folder):
    """The engine that most tests share: started once, and again if another one was needed in between."""
    with ExitStack() as stack:
        yield SharedEngine(stack, model_folder)


class SharedEngine:
    def __init__(self, stack, model_folder):
        self._stack, self._model_folder, self._opened = stack, model_folder, None

    def get(self):
        if self._opened is None:
            self._opened = self._stack.enter_context(_open_engine(self._model_folder))
        return self._opened

    def close(self):
        self._opened = None
        self._stack.close()


@pytest.fixture(scope="session")
def open_engine(model_folder, shared):
    """`with open_engine({"codec": "int8"}, max_num_seqs=2) as engine`: an engine of one's own, one at a time."""

    def start(options=None, **settings):
        shared.close()
        return _open_engine(model_folder, options, **settings)

    return start


@pytest.fixture(scope="module")
def engine(shared):
    """Two pointers with prefix caching, and requests may choose any mode. Leave it as it was."""
    return shared.get()


_seeds = random.Random(7)  # noqa: S311 (prompts, not secrets)


@pytest.fixture
def prompt():
    """`prompt(n)`: n token ids that no other prompt begins with."""

    def make(num_tokens):
        return [_seeds.randrange(3, 250) for _ in range(num_tokens)]

    return make
