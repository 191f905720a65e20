"""A rollout engine for tiny models: one Ray actor that samples all waiting requests together.

Three parts, as verl wants them: the server that samples, the replica that starts it, and the sender that lives in
the training process and hands over new weights.
"""

import asyncio
import hashlib
import os
from collections import Counter

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from transformers import AutoModelForCausalLM, AutoTokenizer
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

from .requests import Limits, Request, check_sampling_params, check_text_only, stop_strings
from .sampling import Continuation, continue_all

MAX_BATCH_SIZE = 256
GATHER_SECONDS = 0.004
"""How long a batch waits for company after its first request."""


def server_name(replica_rank: int) -> str:
    """Name of the server's Ray actor."""
    return f"verl_on_cpu_rollout_{replica_rank}"


class BatchedServer:
    """Answers verl's requests: token ids in, token ids and log-probabilities out."""

    def __init__(self, model_path: str, seed: int, prompt_length: int, response_length: int):
        torch.set_num_threads(1)
        self._model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(model_path)
        self._limits = Limits(prompt_length, response_length, self._model.config.max_position_embeddings)
        eos = self._model.generation_config.eos_token_id
        self._eos_ids = set(eos if isinstance(eos, list) else [eos])
        self._seed = seed
        self._weight_version: int | None = None
        self._times_asked: Counter[tuple[int, ...]] = Counter()
        self._waiting: list[tuple[Request, asyncio.Future[Continuation]]] = []
        self._sampler: asyncio.Task | None = None
        self._model_lock = asyncio.Lock()

    async def node_ip(self) -> str:
        return ray.util.get_node_ip_address()

    async def load_weights(self, weights: dict[str, torch.Tensor], weight_version: int | None) -> None:
        """Called by `WeightSender` after every optimiser step; waits for a batch that is being sampled."""
        async with self._model_lock:
            self._model.load_state_dict(weights, strict=True)
            self._weight_version = weight_version
            self._times_asked.clear()

    async def generate(
        self, request_id, prompt_ids, sampling_params, image_data=None, video_data=None, audio_data=None, **unused
    ) -> TokenOutput:
        """Called by verl's agent loops, many at a time; answers when the request's batch is done."""
        check_text_only(image_data=image_data, video_data=video_data, audio_data=audio_data)
        check_sampling_params(sampling_params)
        request = self._as_request(tuple(prompt_ids), sampling_params)
        continuation = await self._enqueue(request)
        return TokenOutput(
            token_ids=continuation.token_ids,
            log_probs=continuation.log_probs if sampling_params.get("logprobs") else None,
            stop_reason="completed",
            extra_fields={
                "global_steps": self._weight_version,
                "num_cached_tokens": continuation.num_cached_tokens,
                **_prompt_scores(request, continuation),
            },
        )

    async def generate_batch(self, prompts: list[list[int]], sampling_params: dict) -> list[TokenOutput]:
        """`generate` for many prompts in one call; answers in order."""
        return await asyncio.gather(*(self.generate("", prompt, sampling_params) for prompt in prompts))

    def _as_request(self, prompt_ids: tuple[int, ...], params: dict) -> Request:
        temperature = params.get("temperature")
        return Request(
            prompt_ids=prompt_ids,
            max_tokens=self._limits.new_tokens(params, len(prompt_ids)),
            temperature=1.0 if temperature is None else float(temperature),
            seed=self._seed_for(prompt_ids, params.get("seed")),
            stop=stop_strings(params),
            stop_token_ids=tuple(params.get("stop_token_ids") or ()),
            scores_prompt=params.get("prompt_logprobs") is not None,
        )

    def _seed_for(self, prompt_ids: tuple[int, ...], seed: int | None) -> int:
        """The caller's seed alone, or one of our own: the k-th request for a prompt gets the k-th.

        So neither depends on the order in which different requests arrive.
        """
        if seed is None:
            times_asked = self._times_asked[prompt_ids]
            self._times_asked[prompt_ids] += 1
            key = (self._seed, self._weight_version, prompt_ids, times_asked)
        else:
            key = ("given", seed, prompt_ids)
        return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7], "big")

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    def _enqueue(self, request: Request) -> "asyncio.Future[Continuation]":
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._sampler is None or self._sampler.done():
            self._sampler = asyncio.create_task(self._sample_until_idle())
        return answer

    async def _sample_until_idle(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
            try:
                await self._answer(batch)
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)

    async def _answer(self, batch: list[tuple[Request, "asyncio.Future[Continuation]"]]) -> None:
        requests = [request for request, _ in batch]
        async with self._model_lock:  # weights must not change in the middle of an answer
            results = await asyncio.to_thread(
                continue_all, self._model, requests, eos_ids=self._eos_ids, decode=self._decode
            )
        for (_, answer), result in zip(batch, results, strict=True):
            if not answer.done():
                answer.set_result(result)

    async def _ignore(self, *args, **kwargs) -> None:
        """There is no device memory to free, and no cache outlives a batch."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = _ignore
    abort_all_requests = resume_generation = start_profile = stop_profile = _ignore


def _prompt_scores(request: Request, continuation: Continuation) -> dict[str, list]:
    """The prompt's log-probabilities in the form in which verl's vLLM server gives them.

    One list per token, from the second token on, and a padding entry at the end.
    """
    if continuation.prompt_log_probs is None:
        return {}
    return {
        "prompt_ids": [*([token] for token in request.prompt_ids[1:]), [0]],
        "prompt_logprobs": [*([value] for value in continuation.prompt_log_probs), [0.0]],
    }


class BatchedReplica(RolloutReplica):
    """Starts one server; verl builds one replica for each training process."""

    async def launch_servers(self) -> None:
        """Called once by verl, before the first weights are sent; the server goes to its training process's node."""
        node_id = await self.workers[0].__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())
        actor = ray.remote(BatchedServer).options(
            name=server_name(self.replica_rank),
            max_concurrency=self.max_concurrency,
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
        )
        seed = self.config.seed + self.replica_rank
        lengths = self.config.prompt_length, self.config.response_length
        server = actor.remote(self.model_config.path, seed, *lengths)
        self.servers, self._server_handle = [server], server
        self._server_address = f"{await server.node_ip.remote()}:{self.replica_rank}"


class WeightSender(BaseRollout):
    """The trainer's side. verl builds it in every training process."""

    def __init__(self, config, model_config, device_mesh, replica_rank: int = -1, **unused):
        super().__init__(config, model_config, device_mesh)
        self._replica_rank = int(os.environ["RANK"]) if replica_rank == -1 else replica_rank

    async def update_weights(self, weights, wire_format: str = "named_tensors", global_steps=None, **unused) -> None:
        """Called after every optimiser step; returns when the server samples with the new weights."""
        if wire_format != "named_tensors":
            raise ValueError(
                f"batched_cpu: wire_format must be 'named_tensors', got {wire_format!r}; "
                "use the naive checkpoint engine"
            )
        state = {name: tensor.detach().clone() async for name, tensor in ensure_async_iterator(weights)}
        server = ray.get_actor(server_name(self._replica_rank))
        await server.load_weights.remote(state, global_steps)

    async def resume(self, tags) -> None:
        """Nothing to do: weights stay where they are."""

    async def release(self) -> None:
        """Nothing to do: there is no device memory."""
