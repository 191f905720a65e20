"""A small Llama that is really trained, on texts of facts and grammar: its KV holds something to lose."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from facts import BOS, VOCABULARY, texts
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

Report = Callable[[int, int, float], None]

TEXT_WEIGHT = 0.2


@dataclass(frozen=True)
class Training:
    """Sizes and schedule; ours."""

    hidden: int = 192
    inner: int = 384
    layers: int = 3
    heads: int = 3
    head_dim: int = 64
    steps: int = 800
    batch: int = 8
    """Texts of the full length; shorter ones are more, so that steps hold about as many tokens."""
    body_tokens: int = 256
    """Text before the questions; two blocks of vLLM's cache on a CPU."""
    num_questions: int = 32
    learning_rate: float = 2e-3
    seed: int = 0

    @property
    def digest(self) -> str:
        """Names the folder of the model."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def trained_model(bases: Path, training: Training, report: Report) -> tuple[LlamaForCausalLM, float]:
    """The model and its recall of held-out facts, trained unless the folder has it."""
    folder = bases / f"sparkv-trained-{training.digest}"
    if not (folder / "recall.json").exists():
        model = _train(training, report)
        recall = recall_of(model, texts(64, training.body_tokens, training.num_questions, np.random.default_rng(10**6)))
        model.save_pretrained(folder)
        (folder / "recall.json").write_text(json.dumps({"recall": recall, **asdict(training)}, indent=1))
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, json.loads((folder / "recall.json").read_text())["recall"]


def _train(training: Training, report: Report) -> LlamaForCausalLM:
    torch.manual_seed(training.seed)
    draw = np.random.default_rng(training.seed)
    model = LlamaForCausalLM(_config(training))
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.steps, pct_start=0.1
    )
    for step in range(training.steps):
        # short texts first: looking up a fact is learned there, and long ones only stretch it
        body = training.body_tokens >> max(0, 3 - 4 * step // training.steps)
        ids = torch.as_tensor(texts(max(training.batch, 24 * 64 // body), body, training.num_questions, draw))
        loss = _loss(model(input_ids=ids).logits, ids, body)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        report(step + 1, training.steps, float(loss.detach()))
    return model.eval()


def _loss(logits: Tensor, ids: Tensor, body_tokens: int) -> Tensor:
    """Values that are asked for, and a little of the text itself; keys of the questions are anybody's guess."""
    wanted = ids[:, 1:]
    losses = cross_entropy(logits[:, :-1].flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
    return losses[:, body_tokens::2].mean() + TEXT_WEIGHT * losses[:, : body_tokens - 1].mean()


def _config(training: Training) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=training.hidden,
        intermediate_size=training.inner,
        num_hidden_layers=training.layers,
        num_attention_heads=training.heads,
        num_key_value_heads=training.heads,
        head_dim=training.head_dim,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=BOS,
        eos_token_id=None,
    )


@torch.no_grad()
def recall_of(model: LlamaForCausalLM, batch: np.ndarray, num_questions: int = 32) -> float:
    """Share of questions whose value is the most likely token."""
    ids = torch.as_tensor(batch)
    first = ids.shape[1] - 2 * num_questions
    guesses = model(input_ids=ids).logits[:, first:-1:2].argmax(-1)
    return float((guesses == ids[:, first + 1 :: 2]).float().mean())
