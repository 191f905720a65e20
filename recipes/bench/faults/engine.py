"""A real engine in this process: a small Llama in float32, whose greedy tokens are compared with plain prefill's."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.clock import Clock
from faults.host import HEAD_SIZE, is_loading, leaks
from faults.scenario import DEADLINE_S, SETTLE_S, Tally, seeded
from faults.store import STORE_KINDS, Faults, FaultyStore, draw_fault

from gainful.sparkv.stores import open_store
from gainful_vllm import CONNECTOR, SCHEDULER

__all__ = ["RealEngine", "one_case", "open_engine"]

VOCABULARY = 512
MODES = ("two_pointer", "async_prefix", "layerwise")
KINDS = (*(kind for kind in STORE_KINDS if kind != "ranks disagree"), "abort", "preemption", "prefix-cache reset")


def write_model(folder: Path) -> Path:
    """Random weights, large enough that tokens are not decided by rounding."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=HEAD_SIZE,
        max_position_embeddings=4096,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


class RealEngine:
    """An `LLM` with its connector's parts, and the faults of its store."""

    def __init__(self, llm: Any, inner: Any) -> None:
        from vllm.distributed.kv_transfer import get_kv_transfer_group

        self.llm, self.engine = llm, llm.llm_engine
        self.scheduler = self.engine.engine_core.engine_core.scheduler
        self.worker = get_kv_transfer_group().worker_part
        self.inner, self.faults = inner, Faults()
        self.scheduler.connector.scheduler_part.lookups._store = FaultyStore(inner, self.faults, None)
        self.worker.transfers.store = self.worker.saver._store = FaultyStore(inner, self.faults, 0)
        self.initial_free = self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks()

    def add(self, name: str, prompt: list[int], **params: Any) -> None:
        """A request of four greedy tokens."""
        from vllm import SamplingParams

        sampling = SamplingParams(
            max_tokens=4,
            temperature=0,
            ignore_eos=True,
            detokenize=False,
            extra_args={"kv_transfer_params": {"sparkv": params}},
        )
        self.engine.add_request(name, {"prompt_token_ids": prompt}, sampling)

    def run(self, clock: Clock, draw: random.Random, actions: list[tuple[int, str]]) -> dict[str, Any] | None:
        """Outputs by name of all that was added, without those that were aborted; None after the deadline."""
        found, start, step = {}, clock.real_s(), 0
        while self.engine.has_unfinished_requests():
            actions = [one for one in actions if one[0] > step or not self._act(one[1], draw)]
            for output in self.engine.step():
                if output.finished:
                    found[output.request_id] = output
            step += 1
            if clock.real_s() - start > DEADLINE_S * 3:
                return None
        return found

    def _act(self, kind: str, draw: random.Random) -> bool:
        scheduler, running = self.scheduler, self.scheduler.running
        done = bool(running) and not (kind == "prefix-cache reset" and is_loading(scheduler))
        if done and kind == "abort":
            self.engine.abort_request([draw.choice(running).request_id], internal=True)
        elif done and kind == "preemption":
            request = draw.choice(running)
            running.remove(request)
            scheduler._preempt_request(request, time.monotonic())
            scheduler.prev_step_scheduled_req_ids.discard(request.request_id)
        elif done:
            done = scheduler.reset_prefix_cache(reset_running_requests=True)
        self.faults.struck[kind] += done
        return done

    def leaks(self) -> dict[str, Any]:
        """As of `Host`."""
        core = self.engine.engine_core.engine_core
        core.model_executor.execute_model(self.scheduler.schedule())  # the worker hears of what has ended
        return leaks(self.scheduler, [self.worker], self.inner, self.initial_free)


@contextmanager
def open_engine(folder: Path) -> Iterator[RealEngine]:
    """One at a time."""
    from vllm import LLM
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    options = {"store": f"memory://{folder}", "calibration_folder": None, "load_seconds": 1.0, "stall_seconds": 0.3}
    llm = LLM(
        model=str(write_model(folder)),
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        block_size=32,
        max_num_batched_tokens=128,
        max_num_seqs=8,
        enable_prefix_caching=True,
        scheduler_cls=SCHEDULER,
        seed=0,
        kv_transfer_config={
            "kv_connector": CONNECTOR,
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": options,
        },
    )
    try:
        yield RealEngine(llm, open_store(options["store"]))
    finally:
        llm.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


def one_case(real: RealEngine, number: int, prompts: dict[int, list[int]], clock: Clock, tally: Tally) -> bool:
    """One or two requests under a few faults, after plain prefill of the same prompt; false if it is stuck."""
    draw = seeded(f"real {number}")
    prompt = prompts.setdefault(number % 12, [draw.randrange(3, VOCABULARY) for _ in range(draw.randrange(200, 1200))])
    expected = _plain(real, f"plain {number}", prompt, clock, draw)
    chosen = [draw.choice(KINDS) for _ in range(draw.randrange(1, 6))]
    real.faults.arm([draw_fault(draw, kind, 1) for kind in chosen if kind in STORE_KINDS])
    for index in range(draw.choice((1, 2))):
        real.add(f"{number}-{index}", prompt, mode=draw.choice(MODES), use_plan=False)
    actions = [(int(draw.expovariate(0.5)), kind) for kind in chosen if kind not in STORE_KINDS]
    start = clock.real_s()
    outputs = real.run(clock, draw, actions)
    tally.longest_s = max(tally.longest_s, clock.real_s() - start)
    tally.scenarios += 1
    if outputs is None:
        tally.problem("hang", f"real {number}")
        return False
    for name, output in outputs.items():
        tally.requests += 1
        if output.outputs[0].finish_reason == "abort":
            tally.outcomes["aborted"] += 1
            continue
        report = output.kv_transfer_params["sparkv"]
        tally.outcomes[f"{report['mode']}: {report['reason'].split(': ', 2)[0]}"] += 1
        tally.streamed_tokens += report["streamed_tokens"]
        tally.failed_tokens += report["failed_tokens"]
        if list(output.outputs[0].token_ids) != expected:
            tally.problem("wrong tokens", f"real {name}: {output.outputs[0].token_ids} instead of {expected}; {report}")
    return _settle(real, number, clock, tally)


def _plain(real: RealEngine, name: str, prompt: list[int], clock: Clock, draw: random.Random) -> list[int]:
    """Tokens of plain prefill, which also saves what is not stored; afterwards the engine knows the prompt no more."""
    real.faults.release()
    real.llm.reset_prefix_cache()
    real.add(name, prompt, mode="compute")
    outputs = real.run(clock, draw, [])
    assert outputs is not None
    assert real.worker.saver.flush(20)
    real.llm.reset_prefix_cache()
    (output,) = outputs.values()
    return list(output.outputs[0].token_ids)


def _settle(real: RealEngine, number: int, clock: Clock, tally: Tally) -> bool:
    real.faults.release()
    until = clock.real_s() + SETTLE_S
    while (left := real.leaks()) and clock.real_s() < until:
        time.sleep(0.005)
    for what, value in left.items():
        tally.problem("leak", f"real {number}: {what}: {value}")
    return not left
