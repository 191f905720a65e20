"""Builds the base model, its tokenizer and the data on the spot: no download, everything from one seed.

The base is a tiny Llama after a short training on partly wrong demonstrations: it knows the form of an answer and
some of the arithmetic, and is often wrong. Some targets were shown more rarely than others, so problems differ in
difficulty, as they do in real data. Held-out problems were never shown.
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
from transformers.utils import logging as transformers_logging

Progress = Callable[[int, int, float], None]
"""Called after a step with the step, the number of steps, and the loss."""

PAD, EOS, USER, ANSWER = "<pad>", "<eos>", "<user>", "<answer>"
CHARACTERS = "0123456789+ no"
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
    num_steps: int = 600
    batch_size: int = 96
    learning_rate: float = 3e-3
    wrong_share: float = 0.2
    """Share of wrong demonstrations."""
    rarest_weight: float = 0.1
    """How often the rarest target is shown, relative to the most frequent one; the others lie between them."""
    held_out_share: float = 0.2
    layout_version: int = 1
    """Raised when this file builds something else from the same settings."""

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
        self._random = random.Random(settings.seed)  # noqa: S311  (not a secret)
        self._problems = problems
        self._wrong_share = settings.wrong_share
        self._weights = self._uneven_weights(settings.rarest_weight)

    def demonstrations(self, count: int) -> list[tuple[str, str]]:
        """Problems with an answer each, perhaps a wrong one."""
        problems = self._random.choices(self._problems, self._weights, k=count)
        return [(problem.text, self._answer(problem)) for problem in problems]

    def _uneven_weights(self, rarest: float) -> list[float]:
        """One weight per problem, equal for one target, falling geometrically from 1 to `rarest`."""
        targets = sorted({problem.target for problem in self._problems})
        self._random.shuffle(targets)
        rank = {target: i / max(1, len(targets) - 1) for i, target in enumerate(targets)}
        return [rarest ** rank[problem.target] for problem in self._problems]

    def _answer(self, problem: Problem) -> str:
        wrong = self._random.random() < self._wrong_share
        return self._spoilt(problem) if wrong else self._right(problem)

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
    """Next-token training on the answers alone; the prompt carries no loss."""
    peak = settings.learning_rate
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=settings.num_steps, pct_start=0.1)
    model.train()
    for step in range(1, settings.num_steps + 1):
        batch = _encode(tokenizer, teacher.demonstrations(settings.batch_size))
        loss = _optimise(model, optimizer, *batch)
        schedule.step()
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
    torch.set_num_threads(1)  # two threads gain a little on idle cores and lose far more beside another program
    shutil.rmtree(paths.folder, ignore_errors=True)
    paths.model.mkdir(parents=True)
    training, held_out = split(held_out_share=settings.held_out_share, seed=settings.seed)
    tokenizer = make_tokenizer()
    model = make_model(settings, tokenizer)
    train_model(model, tokenizer, NoisyTeacher(settings, training), settings, progress)
    transformers_logging.disable_progress_bar()  # saving takes a moment, and the caller shows progress
    tokenizer.save_pretrained(paths.model)
    model.save_pretrained(paths.model)
    as_rows(training, "train").to_parquet(paths.train)
    as_rows(held_out, "val").to_parquet(paths.val)
    (paths.folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings), indent=2))
