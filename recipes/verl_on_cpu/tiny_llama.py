"""A tiny Llama that a recipe trains on the spot: no download, everything from its settings and one seed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]
"""Called after a step with the step, the number of steps, and the loss."""
Batch = tuple[torch.Tensor, torch.Tensor]
"""Token ids and labels, [B, T] int64, padded on the right; labels are -100 where nothing is to be predicted."""

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class LlamaSettings:
    """Everything that decides what is built; a change of any field builds a new base."""

    seed: int = 0
    hidden_size: int = 96
    num_layers: int = 2
    num_heads: int = 4
    num_steps: int = 600
    batch_size: int = 96
    learning_rate: float = 3e-3
    layout_version: int = 1
    """Raised when the recipe builds something else from the same settings."""

    def digest(self) -> str:
        """A short name for these settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def are_those_of(self, folder: Path) -> bool:
        """Whether a finished base with these settings lies in the folder."""
        file = folder / SETTINGS_FILE
        return file.exists() and json.loads(file.read_text()) == asdict(self)

    def write_to(self, folder: Path) -> None:
        """Call it last: a folder with these settings counts as finished."""
        (folder / SETTINGS_FILE).write_text(json.dumps(asdict(self), indent=2))


def make_llama(
    settings: LlamaSettings, tokenizer: PreTrainedTokenizerFast, *, intermediate_size: int, max_tokens: int
) -> LlamaForCausalLM:
    """A model with seeded random weights."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=intermediate_size,
            num_hidden_layers=settings.num_layers,
            num_attention_heads=settings.num_heads,
            num_key_value_heads=settings.num_heads,
            max_position_embeddings=max_tokens,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def train_llama(
    model: LlamaForCausalLM, settings: LlamaSettings, batch_of: Callable[[int], Batch], progress: Progress
) -> None:
    """Next-token training; `batch_of` is asked once for each step, from 1."""
    peak, num_steps = settings.learning_rate, settings.num_steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=num_steps, pct_start=0.1)
    model.train()
    for step in range(1, num_steps + 1):
        loss = _optimise(model, optimizer, *batch_of(step))
        schedule.step()
        progress(step, num_steps, loss)


def _optimise(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, ids: torch.Tensor, labels: torch.Tensor
) -> float:
    """One optimiser step on a batch; returns its loss."""
    loss = model(input_ids=ids, attention_mask=ids != model.config.pad_token_id, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def padded(rows: list[torch.Tensor], labels: list[torch.Tensor], *, pad_token_id: int) -> Batch:
    """A batch of rows of any length."""
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(rows, batch_first=True, padding_value=pad_token_id), pad(labels, batch_first=True, padding_value=-100)
