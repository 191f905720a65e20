"""A tiny transformer and its sampler: all answers at once, keys and values kept, prompts computed once."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Attention and a feed-forward layer, both on normalised input and added to the stream."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.from_heads = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, cache: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, T, width] to the same; with a cache the T positions follow the cached ones."""
        q, k, v = (self._split(part) for part in self.to_qkv(self.norm_attention(x)).chunk(3, dim=-1))
        if cache is not None:
            k, v = torch.cat((cache[0], k), dim=2), torch.cat((cache[1], v), dim=2)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=_not_ahead(q.shape[2], k.shape[2], x.device))
        x = x + self.from_heads(mixed.transpose(1, 2).flatten(2))
        return x + self.feed(self.norm_feed(x)), (k, v)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def _not_ahead(num_new: int, num_all: int, device: torch.device) -> Tensor | None:
    """[num_new, num_all] bool: which positions the last num_new of num_all may look at; None: at all."""
    if num_new == 1:
        return None
    return torch.ones(num_new, num_all, dtype=torch.bool, device=device).tril(num_all - num_new)


class Policy(nn.Module):
    """Next-token logits of a causal transformer over a small vocabulary."""

    def __init__(self, *, num_tokens: int, max_length: int, width: int, num_layers: int, num_heads: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(num_tokens, width), nn.Embedding(max_length, width)
        self.blocks = nn.ModuleList(Block(width, num_heads) for _ in range(num_layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_tokens, bias=False)

    def forward(self, tokens: Tensor, caches: list | None = None, start: int = 0) -> tuple[Tensor, list]:
        """[B, T] int64 to logits [B, T, num_tokens], and the caches for the next call."""
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(positions)
        kept = []
        for i, block in enumerate(self.blocks):
            x, cache = block(x, caches[i] if caches else None)
            kept.append(cache)
        return self.head(self.norm(x)), kept


@torch.no_grad()
def sample(policy: Policy, prompts: Tensor, uniform: Tensor, *, end: int) -> Tensor:
    """Sample answers by inverting the cumulative distribution, so that equal numbers draw equal tokens.

    Args:
        policy: The model.
        prompts: [P, L] int64.
        uniform: [P * G, T] in [0, 1); rows of one prompt stand together.
        end: Token that ends an answer.

    Returns:
        [P * G, T] int64; positions after the first `end` hold `end`.
    """
    num_rows, max_length = uniform.shape
    group_size = num_rows // len(prompts)
    logits, caches = policy(prompts)
    logits, caches = repeat(logits[:, -1], caches, group_size)
    answers = prompts.new_full((num_rows, max_length), end)
    done = torch.zeros(num_rows, dtype=torch.bool, device=prompts.device)
    for t in range(max_length):
        cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
        token = (cumulative < uniform[:, t : t + 1] * cumulative[:, -1:]).sum(dim=-1)
        token = torch.where(done, end, token)
        answers[:, t] = token
        done |= token == end
        if t + 1 == max_length or bool(done.all()):
            break
        logits, caches = policy(token[:, None], caches, prompts.shape[1] + t)
        logits = logits[:, 0]
    return answers


def answer_mask(answers: Tensor, *, end: int) -> Tensor:
    """[B, T] bool: the tokens up to and including the first `end`."""
    ended = (answers == end).cumsum(dim=1)
    return (ended == 0) | ((ended == 1) & (answers == end))


def answer_logits(policy: Policy, prompts: Tensor, answers: Tensor) -> Tensor:
    """[P * G, T, num_tokens]: logits from which each answer token was drawn; prompts [P, L], answers [P * G, T]."""
    group_size, prompt_length = len(answers) // len(prompts), prompts.shape[1]
    if group_size == 1:
        return policy(torch.cat((prompts, answers[:, :-1]), dim=1))[0][:, prompt_length - 1 :]
    logits, caches = policy(prompts)
    first, caches = repeat(logits[:, -1:], caches, group_size)
    return torch.cat((first, policy(answers[:, :-1], caches, prompt_length)[0]), dim=1)


def repeat(logits: Tensor, caches: list, times: int) -> tuple[Tensor, list]:
    """Each row of a prompt as often as it has answers."""
    repeated = [tuple(part.repeat_interleave(times, dim=0) for part in cache) for cache in caches]
    return logits.repeat_interleave(times, dim=0), repeated
