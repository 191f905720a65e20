"""Samples a batch of continuations with a transformers model and its KV cache."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .requests import Request

Decode = Callable[[list[int]], str]
"""Token ids to text."""


@dataclass(slots=True)
class Continuation:
    """What the model wrote for one request, up to and including the token that ended it."""

    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    """Log-probability of each token at the request's temperature; at temperature 1 where that is 0."""
    prompt_log_probs: list[float] | None = None
    """Of every token of the prompt but the first, at temperature 1; None if they were not asked for."""
    num_cached_tokens: int = 0
    """Tokens of the prompt whose keys and values were computed for an earlier request of the batch."""


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
def continue_all(
    model: PreTrainedModel, requests: list[Request], *, eos_ids: set[int], decode: Decode
) -> list[Continuation]:
    """Continue every request until its end token, one of its stop texts or its token limit.

    Equal prompts are read once: the answers of a probe cost one prompt.

    Args:
        model: A causal language model in evaluation mode.
        requests: At least one; lengths, temperatures and limits may differ.
        eos_ids: Tokens that end a continuation.
        decode: How the text is read that stop strings are looked for in.

    Returns:
        One continuation per request, in order.
    """
    prompts = list(dict.fromkeys(r.prompt_ids for r in requests))
    of_request = torch.tensor([prompts.index(r.prompt_ids) for r in requests])
    ids, mask, positions = left_padded(prompts, pad_id=min(eos_ids))
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    answers = _begin(requests, prompts, out.logits, ids)
    batch = _Batch(out.past_key_values, mask, positions[:, -1:], torch.arange(len(prompts)))
    batch.select(of_request)
    batch.rows = torch.arange(len(requests))
    _decode_all(model, requests, answers, batch, out.logits[of_request, -1], eos_ids=eos_ids, decode=decode)
    return answers


@dataclass(slots=True)
class _Batch:
    """The requests that still go on, and the model's state for each of them."""

    cache: object
    mask: Tensor
    positions: Tensor
    rows: Tensor
    """[b] int64: which request a row belongs to."""

    def select(self, kept: Tensor) -> None:
        """Keep these rows; one may be named several times."""
        self.cache.batch_select_indices(kept)
        self.mask, self.positions, self.rows = self.mask[kept], self.positions[kept], self.rows[kept]


def _begin(requests: list[Request], prompts: list[tuple[int, ...]], logits: Tensor, ids: Tensor) -> list[Continuation]:
    """Empty continuations, with the prompt's log-probabilities where they are asked for."""
    seen: set[tuple[int, ...]] = set()
    answers = []
    for request in requests:
        answer = Continuation(num_cached_tokens=len(request.prompt_ids) if request.prompt_ids in seen else 0)
        seen.add(request.prompt_ids)
        if request.scores_prompt:
            row, size = prompts.index(request.prompt_ids), len(request.prompt_ids)
            scores = torch.log_softmax(logits[row, -size:-1].float(), dim=-1)
            answer.prompt_log_probs = scores.gather(1, ids[row, -size + 1 :, None])[:, 0].tolist() if size > 1 else []
        answers.append(answer)
    return answers


def _decode_all(
    model: PreTrainedModel,
    requests: list[Request],
    answers: list[Continuation],
    batch: _Batch,
    logits: Tensor,
    *,
    eos_ids: set[int],
    decode: Decode,
) -> None:
    """Add a token to every answer that goes on, until none does; rows that ended leave the batch."""
    temperatures = torch.tensor([r.temperature for r in requests])
    draws = uniform_draws(requests, max(r.max_tokens for r in requests))
    step = 0
    while True:
        tokens, log_probs = choose(logits, temperatures[batch.rows], draws[batch.rows, step])
        going = []
        chosen = zip(batch.rows.tolist(), tokens.tolist(), log_probs.tolist(), strict=True)
        for place, (row, token, log_prob) in enumerate(chosen):
            answers[row].token_ids.append(token)
            answers[row].log_probs.append(log_prob)
            if not _ends(requests[row], answers[row].token_ids, eos_ids, decode):
                going.append(place)
        if not going:
            return
        if len(going) < len(tokens):
            kept = torch.tensor(going)
            batch.select(kept)
            tokens = tokens[kept]
        step += 1
        batch.mask = torch.cat([batch.mask, torch.ones_like(tokens[:, None])], dim=1)
        batch.positions = batch.positions + 1
        out = model(
            input_ids=tokens[:, None],
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=batch.cache,
            use_cache=True,
        )
        batch.cache, logits = out.past_key_values, out.logits[:, -1]


def _ends(request: Request, token_ids: list[int], eos_ids: set[int], decode: Decode) -> bool:
    """Whether the last token was the last."""
    if len(token_ids) >= request.max_tokens or token_ids[-1] in eos_ids or token_ids[-1] in request.stop_token_ids:
        return True
    if not request.stop:
        return False
    text = decode(token_ids)
    return any(stop in text for stop in request.stop)
