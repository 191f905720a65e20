"""Rolls out a whole batch in one call. Stock agent loops spend CPU time on every response.

That is nothing beside a large model and nearly everything beside a tiny one. verl's setting
`rollout.agent.agent_loop_manager_class` is made for this: a manager has to answer `generate_sequences` and put
rows into TransferQueue. Set it to null to go back to verl's own agent loops and reward workers.
"""

from collections.abc import Iterator
from typing import Any

import ray
import torch
import transfer_queue
from tensordict import NonTensorData, NonTensorStack, TensorDict
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.reward import get_custom_reward_fn
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.rollout.replica import TokenOutput

from .rollout import server_name

NUM_TURNS = 2
"""The question and the answer."""
# the columns that the trainer and its workers read; every further one costs time in each transfer
_TENSORS = ("prompts", "responses", "response_mask", "rollout_log_probs", "rm_scores")
_FOR_VALIDATION = ("data_source", "reward_model", "extra_fields")
# verl resamples every reported figure a thousand times per prompt; these two would repeat the reward
_SAME_AS_REWARD = {"score", "acc"}


class WholeBatchManager:
    """Single-turn rollouts. verl builds one in the task runner, as the trainer's agent loop manager."""

    @classmethod
    def create(cls, config, **unused) -> "WholeBatchManager":
        """Called once by verl; the clients of its own agent loops are not needed here."""
        return cls(config)

    def __init__(self, config):
        self._rollout = config.actor_rollout_ref.rollout
        self._tokenizer = omega_conf_to_dataclass(config.actor_rollout_ref.model).tokenizer
        self._score = get_custom_reward_fn(config)
        if self._score is None:
            raise ValueError("WholeBatchManager: expected reward.custom_reward_function.path, found none; set it")
        num_servers = config.trainer.nnodes * config.trainer.n_gpus_per_node
        self._servers = [ray.get_actor(server_name(rank)) for rank in range(num_servers)]

    def generate_sequences(self, batch: TensorDict) -> None:
        """Answer every prompt as often as the settings say, and put the scored rows into TransferQueue.

        Called by the trainer once per step and once per validation batch; `batch` has one row per prompt. A
        failing reward function stops the run here, where stock agent loops would replace the row by padding.
        """
        validate = bool(batch["validate"]) if "validate" in batch else False
        num_responses = self._rollout.val_kwargs.n if validate else self._rollout.n
        prompts = list(_rows_of(batch))
        sessions = [(prompt, number) for prompt in prompts for number in range(num_responses)]
        prompt_ids = [self._encode(prompt["raw_prompt"]) for prompt, _ in sessions]
        outputs = self._ask_servers(prompt_ids, self._sampling_params(validate))
        rows = {
            f"{prompt['uid']}_{number}_0": self._row(prompt, ids, output, validate)
            for (prompt, number), ids, output in zip(sessions, prompt_ids, outputs, strict=True)
        }
        tags = [_tag(row, output, batch) for row, output in zip(rows.values(), outputs, strict=True)]
        _publish("val" if validate else "train", rows, tags, finished=[prompt["uid"] for prompt in prompts])

    def _encode(self, messages: list[dict]) -> list[int]:
        return self._tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)

    def _sampling_params(self, validate: bool) -> dict[str, Any]:
        source = self._rollout.val_kwargs if validate else self._rollout
        greedy = validate and not source.do_sample
        return {
            "temperature": 0.0 if greedy else source.temperature,
            "top_p": source.top_p,
            "top_k": source.top_k,
            "logprobs": self._rollout.calculate_log_probs,
        }

    def _ask_servers(self, prompt_ids: list[list[int]], params: dict[str, Any]) -> list[TokenOutput]:
        """Spread the prompts over the servers and collect the answers in order."""
        num_servers = len(self._servers)
        parts = [prompt_ids[rank::num_servers] for rank in range(num_servers)]
        answers = ray.get(
            [server.generate_batch.remote(part, params) for server, part in zip(self._servers, parts, strict=True)]
        )
        outputs: list[TokenOutput] = [None] * len(prompt_ids)
        for rank, part in enumerate(answers):
            outputs[rank::num_servers] = part
        return outputs

    def _row(
        self, prompt: dict[str, Any], prompt_ids: list[int], output: TokenOutput, validate: bool
    ) -> dict[str, Any]:
        """One trajectory with the fields that verl's trainer reads."""
        scores = self._score(
            data_source=prompt["data_source"],
            solution_str=self._tokenizer.decode(output.token_ids, skip_special_tokens=True),
            ground_truth=prompt["reward_model"]["ground_truth"],
            extra_info=prompt.get("extra_info"),
        )
        trajectory = AgentLoopOutput(
            prompt_ids=prompt_ids,
            response_ids=output.token_ids,
            response_mask=[1] * len(output.token_ids),
            response_logprobs=output.log_probs,
            reward_score=scores["score"],
            metrics={},
            extra_fields={"reward_extra_info": {name: scores[name] for name in scores.keys() - _SAME_AS_REWARD}},
        )
        fields = {**prompt, **trajectory.as_dict()}
        ids = torch.cat([fields["prompts"], fields["responses"]])
        kept = _TENSORS + (_FOR_VALIDATION if validate else ())
        return {
            **{name: fields[name] for name in kept if name in fields},
            "uid": prompt["uid"],
            "num_turns": torch.tensor(NUM_TURNS),
            "loss_mask": fields["response_mask"],
            "input_ids": ids,
            "position_ids": torch.arange(len(ids)),
        }


def _rows_of(batch: TensorDict) -> Iterator[dict[str, Any]]:
    """One dictionary per prompt; the flag that marks a validation batch belongs to none of them."""
    for index in range(len(batch)):
        yield {key: _entry(value, index) for key, value in batch.items() if key != "validate"}


def _entry(value: Any, index: int) -> Any:
    """Row `index` of a column, or the one value that a column holds for all rows."""
    if isinstance(value, NonTensorData):
        return value.data
    entry = value[index]
    return entry.data if isinstance(value, NonTensorStack) else entry


def _publish(partition_id: str, rows: dict[str, dict], tags: list[dict], *, finished: list[str]) -> None:
    """Store the rows by key, then mark the groups as finished, upon which the replay buffer may hand them out."""
    put = transfer_queue.kv_batch_put
    put(keys=[*rows], partition_id=partition_id, fields=list_of_dict_to_tensordict([*rows.values()]), tags=tags)
    put(keys=finished, partition_id=partition_id, tags=[{"status": "finished"}] * len(finished))


def _tag(row: dict[str, Any], output: TokenOutput, batch: TensorDict) -> dict[str, Any]:
    """What the trainer wants to know of a row before it fetches it."""
    prompt_len, response_len = len(row["prompts"]), len(row["responses"])
    version = output.extra_fields["global_steps"]
    return {
        "status": "success",
        "prompt_len": prompt_len,
        "response_len": response_len,
        "seq_len": prompt_len + response_len,
        "global_steps": batch["global_steps"],
        "min_global_steps": version,
        "max_global_steps": version,
    }
