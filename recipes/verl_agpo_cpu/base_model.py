"""Builds the base model, its tokenizer and the data on the spot: no download, everything from one seed.

The base is a tiny Llama after a short training on partly wrong demonstrations: it knows the form of an answer and
some of the arithmetic, and is often wrong. Some targets were shown more rarely than others, so problems differ in
difficulty, as they do in real data. Held-out problems were never shown.
"""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from task import DATA_SOURCE, DIGITS, Problem, expressions, solutions, split
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging
from verl_on_cpu.tiny_llama import Batch, LlamaSettings, Progress, make_llama, padded, train_llama

PAD, EOS, USER, ANSWER = "<pad>", "<eos>", "<user>", "<answer>"
CHARACTERS = "0123456789+ no"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<user>' if message['role'] == 'user' else '<answer>' }}{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
)


@dataclass(frozen=True)
class BaseSettings(LlamaSettings):
    """Of the base: a quarter of a million parameters."""

    wrong_share: float = 0.2
    """Share of wrong demonstrations."""
    rarest_weight: float = 0.1
    """How often the rarest target is shown, relative to the most frequent one; the others lie between them."""
    held_out_share: float = 0.2


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
        """Whether a finished base with these settings is here."""
        return settings.are_those_of(self.folder)


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


def _encode(tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> Batch:
    """Demonstrations with labels on the answers alone; the prompt carries no loss."""
    rows, labels = [], []
    for question, answer in pairs:
        prompt = tokenizer.encode(f"{USER}{question}{ANSWER}")
        response = tokenizer.encode(f"{answer}{EOS}")
        rows.append(torch.tensor(prompt + response))
        labels.append(torch.tensor([-100] * len(prompt) + response))
    return padded(rows, labels, pad_token_id=tokenizer.pad_token_id)


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
    model = make_llama(settings, tokenizer, intermediate_size=3 * settings.hidden_size, max_tokens=64)
    teacher = NoisyTeacher(settings, training)
    train_llama(model, settings, lambda _: _encode(tokenizer, teacher.demonstrations(settings.batch_size)), progress)
    transformers_logging.disable_progress_bar()  # saving takes a moment, and the caller shows progress
    tokenizer.save_pretrained(paths.model)
    model.save_pretrained(paths.model)
    as_rows(training, "train").to_parquet(paths.train)
    as_rows(held_out, "val").to_parquet(paths.val)
    settings.write_to(paths.folder)
