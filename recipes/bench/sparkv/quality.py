"""What a lossy codec does to real KV: error of keys and values, of logits, and of what is generated, beside the bytes.

The cache of a trained model is rounded to bfloat16, which is what engines keep and what `raw` gives back; each codec
encodes and decodes it in blocks of 128 tokens. Then the same questions are asked of both caches.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from facts import texts
from torch import Tensor
from trained import Report, Training, trained_model
from transformers import DynamicCache, LlamaForCausalLM

from gainful.sparkv.blocks import BlockLayout
from gainful.sparkv.codec import make_codec
from gainful.sparkv.frame import write_frame

BLOCK_TOKENS = 128
GENERATED = 32
BATCH = 20
Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [prompts, heads, tokens, head_dim]."""


@dataclass(frozen=True)
class Row:
    """One codec over all prompts."""

    codec: str
    bytes_ratio: float
    """bfloat16 bytes over bytes of the frame."""
    max_error: float
    """Largest |decoded - exact| of any key or value."""
    key_error: float
    """Norm of the difference over norm of the keys."""
    value_error: float
    kl_mean: float
    """nats, exact cache against decoded one, over all positions of the questions."""
    kl_max: float
    same_top: float
    """Share of positions with the same most likely token."""
    same_tokens: float
    """Share of greedily generated tokens that are the same at the same place."""
    same_prompts: int
    """Prompts whose generated tokens are all the same."""
    recall: float
    """Share of questions answered with the right value."""


def quality(bases: Path, training: Training, num_prompts: int, report: Report) -> dict[str, object]:
    """Train unless it is trained, then compare the codecs; a record for the results."""
    model, recall = trained_model(bases, training, report)
    batch = texts(num_prompts, training.body_tokens, training.num_questions, np.random.default_rng(7))
    rows = [asdict(_row(name, model, torch.as_tensor(batch), training)) for name in ("raw", "int8", "int4")]
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "training": asdict(training),
        "recall_held_out": recall,
        "prompts": num_prompts,
        "prompt_tokens": training.body_tokens,
        "generated_tokens": GENERATED,
        "rows": rows,
    }


@torch.no_grad()
def _row(codec: str, model: LlamaForCausalLM, ids: Tensor, training: Training) -> Row:
    parts = list(_parts(codec, model, ids, training))
    mean = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    whole = {"max_error": max, "kl_max": max, "same_prompts": sum}
    found = mean | {name: reduce(part[name] for part in parts) for name, reduce in whole.items()}
    return Row(codec=codec, **found | {"same_prompts": int(found["same_prompts"])})


def _parts(codec: str, model: LlamaForCausalLM, ids: Tensor, training: Training) -> Iterator[dict[str, float]]:
    for batch in ids.split(BATCH):
        body, asked = batch[:, : training.body_tokens], batch[:, training.body_tokens :]
        exact = _prefill(model, body)
        coded, ratio = _through(codec, exact)
        right, wrong = (_logits(model, layers, asked).log_softmax(-1) for layers in (exact, coded))
        kl = (right.exp() * (right - wrong)).sum(-1)
        outputs = [_generate(model, layers, asked[:, :1]) for layers in (exact, coded)]
        same = outputs[0] == outputs[1]
        yield {
            "bytes_ratio": ratio,
            **_errors(exact, coded),
            "kl_mean": float(kl.mean()),
            "kl_max": float(kl.max()),
            "same_top": _share(right.argmax(-1) == wrong.argmax(-1)),
            "same_tokens": _share(same),
            "same_prompts": int(same.all(1).sum()),
            "recall": _share(wrong.argmax(-1)[:, ::2] == asked[:, 1::2]),
        }


def _prefill(model: LlamaForCausalLM, body: Tensor) -> Layers:
    cache = model(input_ids=body, use_cache=True).past_key_values
    return [tuple(half.bfloat16().float() for half in (layer.keys, layer.values)) for layer in cache.layers]


def _through(codec_name: str, layers: Layers) -> tuple[Layers, float]:
    """The same cache after encoding and decoding, and bytes before over bytes of the frame."""
    prompts, heads, tokens, dim = layers[0][0].shape
    layout = BlockLayout(num_kv_heads=heads, block_size=BLOCK_TOKENS, head_dim=dim, dtype="bfloat16")
    codec = make_codec(codec_name, layout)
    blocks = [_to_blocks(keys, values) for keys, values in layers]
    coded = [codec.encode(block) for block in blocks]
    kind = {"codec": codec.name, "codec_version": codec.version, "lossy": codec.lossy}
    # one frame a prompt, as a store would hold it; all are equally long
    one = [{name: array[: tokens // BLOCK_TOKENS] for name, array in section.items()} for section in coded]
    stored = sum(len(memoryview(part).cast("B")) for part in write_frame(one, key="0f" * 32, **kind))
    decoded = []
    for block, section in zip(blocks, coded, strict=True):
        codec.decode(section, out := torch.empty_like(block))
        decoded.append(_from_blocks(out, prompts, heads, tokens, dim))
    return decoded, sum(block.numel() for block in blocks) / prompts / stored


def _to_blocks(keys: Tensor, values: Tensor) -> Tensor:
    """Token-major blocks: [prompts * tokens / 128, block_bytes] uint8."""
    prompts, heads, tokens, dim = keys.shape
    both = torch.cat([keys, values], dim=-1).bfloat16()
    both = both.view(prompts, heads, tokens // BLOCK_TOKENS, BLOCK_TOKENS, 2 * dim).transpose(1, 2)
    return both.reshape(prompts * tokens // BLOCK_TOKENS, -1).contiguous().view(torch.uint8)


def _from_blocks(blocks: Tensor, prompts: int, heads: int, tokens: int, dim: int) -> tuple[Tensor, Tensor]:
    both = blocks.view(torch.bfloat16).view(prompts, tokens // BLOCK_TOKENS, heads, BLOCK_TOKENS, 2 * dim)
    keys, values = both.transpose(1, 2).reshape(prompts, heads, tokens, 2 * dim).float().chunk(2, dim=-1)
    return keys.contiguous(), values.contiguous()


def _errors(exact: Layers, coded: Layers) -> dict[str, float]:
    halves = []
    for half in (0, 1):
        right, wrong = (torch.stack([layer[half] for layer in layers]) for layers in (exact, coded))
        halves.append((float((right - wrong).abs().max()), float((right - wrong).norm() / right.norm())))
    (key_max, key), (value_max, value) = halves
    return {"max_error": max(key_max, value_max), "key_error": key, "value_error": value}


def _cache(layers: Layers) -> DynamicCache:
    """A fresh one: generating appends to it."""
    cache = DynamicCache()
    for place, (keys, values) in enumerate(layers):
        cache.update(keys, values, place)
    return cache


def _logits(model: LlamaForCausalLM, layers: Layers, asked: Tensor) -> Tensor:
    return model(input_ids=asked, past_key_values=_cache(layers)).logits


def _generate(model: LlamaForCausalLM, layers: Layers, token: Tensor) -> Tensor:
    """Greedy, [prompts, GENERATED]."""
    cache, found = _cache(layers), []
    for _ in range(GENERATED):
        token = model(input_ids=token, past_key_values=cache).logits[:, -1:].argmax(-1)
        found.append(token)
    return torch.cat(found, dim=1)


def _share(mask: Tensor) -> float:
    return float(mask.float().mean())
