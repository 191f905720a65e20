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
        """[B, T, width] to the same; with a cache the T positions follow the cached ones and T is 1."""
        q, k, v = (self._split(part) for part in self.to_qkv(self.norm_attention(x)).chunk(3, dim=-1))
        if cache is not None:
            k, v = torch.cat((cache[0], k), dim=2), torch.cat((cache[1], v), dim=2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.from_heads(mixed.transpose(1, 2).flatten(2))
        return x + self.feed(self.norm_feed(x)), (k, v)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


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
    logits = logits[:, -1].repeat_interleave(group_size, dim=0)
    caches = [tuple(part.repeat_interleave(group_size, dim=0) for part in cache) for cache in caches]
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
    """[B, T, num_tokens]: logits from which each answer token was drawn; prompts [B, L], answers [B, T]."""
    logits, _ = policy(torch.cat((prompts, answers[:, :-1]), dim=1))
    return logits[:, prompts.shape[1] - 1 :]
