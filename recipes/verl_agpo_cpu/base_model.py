"""Builds the base model, its tokenizer and the data on the spot: no download, everything from one seed.

The base is a tiny Llama that saw right demonstrations first and partly wrong ones after that: it knows the form
of an answer and the arithmetic, and is often wrong. Some targets were shown with more mistakes than others, so
problems differ in difficulty, as they do in real data. Held-out problems were never shown.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from task import DATA_SOURCE, DIGITS, Problem, expressions, solutions, split
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]
"""Called after a step with the step, the number of steps, and the loss."""

PAD, EOS, USER, ANSWER = "<pad>", "<eos>", "<user>", "<answer>"
CHARACTERS = "0123456789+- no"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<user>' if message['role'] == 'user' else '<answer>' }}{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class BaseSettings:
    """Everything that decides what is built; a change of any field builds a new base."""

    seed: int = 0
    hidden_size: int = 96
    num_layers: int = 2
    num_heads: int = 4
    num_clean_steps: int = 450
    """Optimiser steps on right demonstrations."""
    num_noisy_steps: int = 150
    """Optimiser steps, after those, on demonstrations of which some are wrong."""
    batch_size: int = 96
    clean_learning_rate: float = 3e-3
    noisy_learning_rate: float = 5e-4
    """Low enough to unlearn some of the arithmetic and not all of it."""
    min_clean_share: float = 0.05
    """Share of right demonstrations for the hardest target."""
    max_clean_share: float = 0.7
    """The same for the easiest target; the others lie between them, spread evenly."""
    held_out_share: float = 0.2
    num_val_problems: int = 48
    """Held-out problems that a validation asks; the rest stays unused."""
    layout_version: int = 1
    """Raised when this file builds something else from the same settings."""

    @property
    def num_steps(self) -> int:
        return self.num_clean_steps + self.num_noisy_steps

    def digest(self) -> str:
        """A short name for these settings."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class BasePaths:
    """Where a base lies."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def train(self) -> Path:
        return self.folder / "train.parquet"

    @property
    def val(self) -> Path:
        return self.folder / "val.parquet"

    def holds(self, settings: BaseSettings) -> bool:
        """Whether a finished base with these settings is here; the settings file is written last."""
        file = self.folder / SETTINGS_FILE
        return file.exists() and json.loads(file.read_text()) == asdict(settings)


def paths_for(root: Path, settings: BaseSettings) -> BasePaths:
    """The folder of a base below `root`, whether it has been built or not."""
    return BasePaths(root / f"base-{settings.digest()}")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per character, and four special ones."""
    names = [PAD, EOS, USER, ANSWER, *CHARACTERS]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        additional_special_tokens=[USER, ANSWER],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_model(settings: BaseSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about a quarter of a million parameters, with seeded random weights."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=3 * settings.hidden_size,
            num_hidden_layers=settings.num_layers,
            num_attention_heads=settings.num_heads,
            num_key_value_heads=settings.num_heads,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


class NoisyTeacher:
    """Writes demonstrations: right ones, and wrong ones that look right."""

    def __init__(self, settings: BaseSettings, problems: list[Problem]):
        self._random = random.Random(settings.seed)
        self._problems = problems
        targets = sorted({problem.target for problem in problems})
        self._random.shuffle(targets)
        step = (settings.max_clean_share - settings.min_clean_share) / max(1, len(targets) - 1)
        self._clean_share = {t: settings.min_clean_share + i * step for i, t in enumerate(targets)}

    def demonstration(self, *, noisy: bool) -> tuple[str, str]:
        """A problem and an answer to it; wrong, where `noisy`, as often as the target's share says."""
        problem = self._random.choice(self._problems)
        clean = not noisy or self._random.random() < self._clean_share[problem.target]
        return problem.text, self._right(problem) if clean else self._spoilt(problem)

    def _right(self, problem: Problem) -> str:
        return self._random.choice(solutions(problem))

    def _spoilt(self, problem: Problem) -> str:
        """An answer to the target, forbidden digit or not, with one digit drawn anew."""
        answer = list(self._random.choice(expressions()[problem.target]))
        answer[self._random.choice((0, 2, 4))] = self._random.choice(DIGITS)
        return "".join(answer)


def train_model(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    teacher: NoisyTeacher,
    settings: BaseSettings,
    progress: Progress,
) -> None:
    """Next-token training on the answers alone, the prompt carries no loss: clean steps, then noisy ones."""
    model.train()
    step = 0
    for noisy in (False, True):
        peak = settings.noisy_learning_rate if noisy else settings.clean_learning_rate
        num_steps = settings.num_noisy_steps if noisy else settings.num_clean_steps
        optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=num_steps, pct_start=0.1)
        for _ in range(num_steps):
            pairs = [teacher.demonstration(noisy=noisy) for _ in range(settings.batch_size)]
            loss = _optimise(model, optimizer, *_encode(tokenizer, pairs))
            schedule.step()
            step += 1
            progress(step, settings.num_steps, loss)


def _optimise(model, optimizer, input_ids: torch.Tensor, labels: torch.Tensor) -> float:
    """One optimiser step on a batch; returns its loss."""
    mask = input_ids != model.config.pad_token_id
    loss = model(input_ids=input_ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def _encode(tokenizer, pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, [B, T] int64, padded on the right; labels are -100 outside the answer."""
    rows, labels = [], []
    for question, answer in pairs:
        prompt = tokenizer.encode(f"{USER}{question}{ANSWER}")
        response = tokenizer.encode(f"{answer}{EOS}")
        rows.append(torch.tensor(prompt + response))
        labels.append(torch.tensor([-100] * len(prompt) + response))
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad(rows, batch_first=True, padding_value=tokenizer.pad_token_id),
        pad(labels, batch_first=True, padding_value=-100),
    )


def as_rows(problems: list[Problem], part: str) -> pd.DataFrame:
    """The columns that verl's data set and its reward workers read."""
    return pd.DataFrame(
        {
            "data_source": DATA_SOURCE,
            "prompt": [{"role": "user", "content": problem.text}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.text},
            "extra_info": {"index": index, "split": part, "num_solutions": len(solutions(problem))},
        }
        for index, problem in enumerate(problems)
    )


def build(settings: BaseSettings, paths: BasePaths, progress: Progress) -> None:
    """Build model, tokenizer and data under `paths`; a half-built folder is started over."""
    shutil.rmtree(paths.folder, ignore_errors=True)
    paths.model.mkdir(parents=True)
    training, held_out = split(held_out_share=settings.held_out_share, seed=settings.seed)
    tokenizer = make_tokenizer()
    model = make_model(settings, tokenizer)
    train_model(model, tokenizer, NoisyTeacher(settings, training), settings, progress)
    tokenizer.save_pretrained(paths.model)
    model.save_pretrained(paths.model)
    as_rows(training, "train").to_parquet(paths.train)
    as_rows(held_out[: settings.num_val_problems], "val").to_parquet(paths.val)
    (paths.folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings), indent=2))
