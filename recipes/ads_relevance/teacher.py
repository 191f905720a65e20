"""The generative teacher: a small transformer over words that reads a pair, writes its reasons and ends with a grade.

A prompt has a fixed shape: the query in its slots, the ad in its slots, then a sign to answer. Empty slots hold
`<pad>`, which the model sees and learns to ignore, so no mask is needed beside the causal one.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plan
import torch
from torch import Tensor, nn
from torch.nn import functional

PAD, EOS, AD, ANSWER = range(4)
_SPECIAL = ("<pad>", "<eos>", "<ad>", "<answer>")
_NUM_UNKNOWN = 64
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Words in lower case; punctuation separates them."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Words of the training pairs, by number; any other word falls into one of a few shared numbers."""

    words: tuple[str, ...]
    query_slots: int
    ad_slots: int
    response_slots: int
    ids: Mapping[str, int]

    @classmethod
    def build(
        cls, pairs: pd.DataFrame, responses: Iterable[str], settings: plan.Teacher, max_grade: int
    ) -> "Vocabulary":
        """Collect the most frequent words of pairs and responses; slots fit the longest text, up to the limit."""
        queries, ads, answers = (list(map(words_of, texts)) for texts in (pairs["query"], pairs["ad"], responses))
        counts = Counter(word for words in (*queries, *ads, *answers) for word in words)
        always = ("grade", *map(str, range(max_grade + 1)))
        frequent = [word for word, _ in counts.most_common(settings.max_vocabulary) if word not in always]
        words = (*_SPECIAL, *(f"<unknown{i}>" for i in range(_NUM_UNKNOWN)), *always, *sorted(frequent))
        half = settings.max_prompt_words // 2
        query_slots, ad_slots = (min(half, max(map(len, texts))) for texts in (queries, ads))
        response_slots = min(settings.max_response_words, max(map(len, answers))) + 1
        return cls(words, query_slots, ad_slots, response_slots, {word: i for i, word in enumerate(words)})

    @property
    def num_prompt_tokens(self) -> int:
        return self.query_slots + self.ad_slots + 2

    def encode(self, words: Sequence[str]) -> list[int]:
        unknown = (len(_SPECIAL) + zlib.crc32(word.encode()) % _NUM_UNKNOWN for word in words)
        return [self.ids.get(word, other) for word, other in zip(words, unknown, strict=True)]

    def prompts(self, pairs: pd.DataFrame) -> Tensor:
        """[N, num_prompt_tokens] int64."""
        rows = [
            [*self._slots(query, self.query_slots), AD, *self._slots(ad, self.ad_slots), ANSWER]
            for query, ad in zip(pairs["query"], pairs["ad"], strict=True)
        ]
        return torch.tensor(rows, dtype=torch.int64)

    def responses(self, texts: Iterable[str]) -> Tensor:
        """[N, response_slots] int64: reasons are cut, never the last two words, which are the grade."""
        rows = []
        for text in texts:
            *reasons, grade, number = words_of(text)
            ids = [*self.encode([*reasons[: self.response_slots - 3], grade, number]), EOS]
            rows.append(ids + [PAD] * (self.response_slots - len(ids)))
        return torch.tensor(rows, dtype=torch.int64)

    def texts(self, tokens: Tensor) -> list[str]:
        """Responses [N, T] as text, each up to its end."""
        return [" ".join(self.words[i] for i in row if i not in (PAD, EOS)) for row in tokens.tolist()]

    def _slots(self, text: str, num_slots: int) -> list[int]:
        ids = self.encode(words_of(text)[:num_slots])
        return ids + [PAD] * (num_slots - len(ids))


class Block(nn.Module):
    """Attention and a feed-forward net, each after a normalisation and added to what came in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: [B, T, width]; `past`: keys and values [B, heads, earlier, width / heads] of the tokens before, if any."""
        batch, length, width = x.shape
        parts = self.mix(self.before(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.join(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.feed(self.between(x)), (key, value)


class TeacherModel(nn.Module):
    """Next-word logits."""

    def __init__(self, num_words: int, num_positions: int, settings: plan.Teacher):
        super().__init__()
        self.word = nn.Embedding(num_words, settings.width)
        self.place = nn.Embedding(num_positions, settings.width)
        self.blocks = nn.ModuleList(Block(settings.width, settings.heads) for _ in range(settings.layers))
        self.last = nn.LayerNorm(settings.width)
        self.out = nn.Linear(settings.width, num_words)
        nn.init.normal_(self.word.weight, std=0.1)
        nn.init.normal_(self.place.weight, std=0.1)

    def forward(self, tokens: Tensor, past: list | None = None) -> tuple[Tensor, list]:
        """Hidden states [B, T, width] of `tokens` [B, T], and keys and values of all tokens so far."""
        start = 0 if past is None else past[0][0].shape[2]
        x = self.word(tokens) + self.place.weight[start : start + tokens.shape[1]]
        memory = []
        for index, block in enumerate(self.blocks):
            x, kept = block(x, None if past is None else past[index])
            memory.append(kept)
        return x, memory

    def logits(self, hidden: Tensor) -> Tensor:
        return self.out(self.last(hidden))

    def response_logits(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """[B, T, words]: logits of each response token given what is before it."""
        hidden, _ = self(torch.cat([prompts, responses[:, :-1]], dim=1))
        return self.logits(hidden[:, prompts.shape[1] - 1 :])


def build_teacher(vocabulary: Vocabulary, settings: plan.Teacher, seed: int) -> TeacherModel:
    """A teacher with seeded random weights."""
    torch.manual_seed(seed)
    return TeacherModel(len(vocabulary.words), vocabulary.num_prompt_tokens + vocabulary.response_slots, settings)


@torch.no_grad()
def sample(model: TeacherModel, prompts: Tensor, uniforms: Tensor) -> Tensor:
    """Sample responses at temperature 1.

    Args:
        model: The teacher.
        prompts: [N, P] int64.
        uniforms: [N, K, T] in [0, 1): the numbers that decide each token, so that two teachers can draw alike.

    Returns:
        [N * K, T] int64, the K responses of a prompt in a row; `<pad>` after the end.
    """
    num_prompts, num_samples, num_tokens = uniforms.shape
    hidden, past = model(prompts)
    past = [tuple(part.repeat_interleave(num_samples, dim=0) for part in layer) for layer in past]
    hidden = hidden[:, -1:].repeat_interleave(num_samples, dim=0)
    out = prompts.new_full((num_prompts * num_samples, num_tokens), PAD)
    ended = torch.zeros(len(out), dtype=torch.bool, device=out.device)
    for step, numbers in enumerate(uniforms.reshape(-1, num_tokens).T):
        out[:, step] = _draw(model.logits(hidden[:, -1]), numbers).masked_fill(ended, PAD)
        ended |= out[:, step] == EOS
        if bool(ended.all()) or step == num_tokens - 1:
            break
        hidden, past = model(out[:, step : step + 1], past)
    return out


def _draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """[B] int64: the word at which the cumulated probability passes the number [B]."""
    cumulated = logits.softmax(dim=-1).cumsum(dim=-1)
    return torch.searchsorted(cumulated, numbers[:, None].contiguous()).squeeze(1).clamp(max=logits.shape[-1] - 1)


def num_parameters(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def to_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """All weights, to be saved."""
    return {name: weights.cpu().numpy() for name, weights in model.state_dict().items()}


def from_arrays(model: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Put saved weights back; names and shapes must agree."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
