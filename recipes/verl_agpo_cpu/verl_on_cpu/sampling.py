"""Samples a batch of continuations with a transformers model and its KV cache."""

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .requests import Request


class Continuation(NamedTuple):
    """What the model wrote for one request, up to and including the end token."""

    token_ids: list[int]
    log_probs: list[float]
    """Log-probability of each token at the request's temperature; at temperature 1 where that is 0."""


def left_padded(prompts: list[tuple[int, ...]], pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, mask and positions, [B, T] int64; prompts end in the last column, positions start at 0."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


def uniform_draws(requests: list[Request], num_tokens: int) -> Tensor:
    """[B, num_tokens] float32 in [0, 1): row i depends on the seed of request i alone."""
    rows = [torch.rand(num_tokens, generator=torch.Generator().manual_seed(r.seed)) for r in requests]
    return torch.stack(rows)


def choose(logits: Tensor, temperatures: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Pick one token per row by inverting its cumulative distribution; the likeliest one where greedy.

    Args:
        logits: [B, V] float.
        temperatures: [B] float; 0 means greedy.
        draws: [B] float in [0, 1).

    Returns:
        Token ids, [B] int64, and their log-probabilities, [B] float.
    """
    greedy = temperatures == 0
    log_probs = torch.log_softmax(logits.float() / torch.where(greedy, 1.0, temperatures)[:, None], dim=-1)
    cumulative = log_probs.exp().cumsum(dim=-1)
    # the last sum may round to less than a draw, so draws are scaled by it
    sampled = (cumulative <= draws[:, None] * cumulative[:, -1:]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)
    tokens = torch.where(greedy, log_probs.argmax(dim=-1), sampled)
    return tokens, log_probs.gather(1, tokens[:, None])[:, 0]


@torch.inference_mode()
def continue_all(model: PreTrainedModel, requests: list[Request], *, eos_ids: set[int]) -> list[Continuation]:
    """Continue every request until its end token or its token limit.

    Args:
        model: A causal language model in evaluation mode.
        requests: At least one; lengths, temperatures and limits may differ.
        eos_ids: Tokens that end a continuation.

    Returns:
        One continuation per request, in order.
    """
    ids, mask, positions = left_padded([r.prompt_ids for r in requests], pad_id=min(eos_ids))
    limits = torch.tensor([r.max_tokens for r in requests])
    temperatures = torch.tensor([r.temperature for r in requests])
    draws = uniform_draws(requests, int(limits.max()))
    ends = torch.tensor(sorted(eos_ids))
    done = torch.zeros(len(requests), dtype=torch.bool)
    columns, cache = [], None
    for step in range(int(limits.max())):
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        tokens, log_probs = choose(out.logits[:, -1], temperatures, draws[:, step])
        columns.append((tokens, log_probs, ~done))
        done = done | torch.isin(tokens, ends) | (limits <= step + 1)
        if done.all():
            break
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
    return _rows(columns)


def _rows(columns: list[tuple[Tensor, Tensor, Tensor]]) -> list[Continuation]:
    """Turn per-step columns (tokens, log-probabilities, still running) into one continuation per row."""
    tokens, log_probs, running = (torch.stack(part, dim=1) for part in zip(*columns, strict=True))
    lengths = running.sum(dim=1).tolist()
    return [
        Continuation(row_ids[:length], row_log_probs[:length])
        for row_ids, row_log_probs, length in zip(tokens.tolist(), log_probs.tolist(), lengths, strict=True)
    ]
