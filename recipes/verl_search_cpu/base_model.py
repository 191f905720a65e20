"""Builds tokenizer, policy and data on the spot: a tiny Llama that knows the form of a search and little else."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from demonstrations import CALL, CALL_END, EOS, Segment, Teacher
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl_on_cpu.tiny_llama import Batch, LlamaSettings, Progress, make_llama, padded, train_llama
from world import CITIES, PEOPLE, THINGS, Question, World, draw_world, split

PAD, UNKNOWN = "<pad>", "<unk>"
MARKS = ("<user>", "<assistant>", "<tool>", CALL, CALL_END, "<answer>", "</answer>", "(Title:", ")")
SENTENCES = (
    "where does the maker of come from live ? was made by stands near comes lives at Doc 1 2 3 4 5",
    "No document matches . Search failed : a query must hold to 2000 characters",
)
"""Their words are the vocabulary, beside the names."""
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'user' %}<user>{{ m['content'] }}"
    "{% elif m['role'] == 'tool' %}<tool>{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}<assistant>{{ m['content'] }}" + EOS + "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
DATA_SOURCE = "two_searches"


@dataclass(frozen=True)
class BaseSettings(LlamaSettings):
    """Of the base; the steps are both lessons together."""

    num_layers: int = 3
    num_copy_steps: int = 1000
    """First steps: right demonstrations, and every token is predicted, which teaches to copy. The others show partly
    wrong demonstrations, and only what the policy writes is predicted."""
    num_steps: int = 1300
    batch_size: int = 48
    layout_version: int = 2


def model_folder(root: Path, settings: BaseSettings) -> Path:
    return root / f"search-{settings.digest()}"


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word; the opening and the closing of a tool call are one token each."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    names = [PAD, EOS, UNKNOWN, *MARKS, *words, *THINGS, *PEOPLE, *CITIES]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=UNKNOWN))
    split_marks = pre_tokenizers.Split(Regex(r"[?.:!]"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), split_marks])
    # not special: verl decodes responses without special tokens, and the reward has to see these
    tokenizer.add_tokens([AddedToken(mark, normalized=False, lstrip=True, rstrip=True) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


class Lessons:
    """First how to copy from documents, then when to search and when to answer."""

    def __init__(self, settings: BaseSettings, tokenizer: PreTrainedTokenizerFast):
        self._settings, self._tokenizer = settings, tokenizer
        self._right, self._erring = Teacher(settings.seed, errs=False), Teacher(settings.seed + 1)

    def batch(self, step: int) -> Batch:
        copies = step <= self._settings.num_copy_steps
        teacher = self._right if copies else self._erring
        ids, labels = encode(self._tokenizer, [teacher.trajectory() for _ in range(self._settings.batch_size)])
        return ids, ids.masked_fill(ids == self._tokenizer.pad_token_id, -100) if copies else labels


def encode(tokenizer: PreTrainedTokenizerFast, trajectories: list[list[Segment]]) -> Batch:
    """Trajectories with labels where the policy wrote."""
    rows, labels = [], []
    for segments in trajectories:
        parts = [tokenizer.encode(text) for text, _ in segments]
        rows.append(torch.tensor([token for part in parts for token in part]))
        written = [own for part, (_, own) in zip(parts, segments, strict=True) for _ in part]
        labels.append(torch.where(torch.tensor(written), rows[-1], -100))
    return padded(rows, labels, pad_token_id=tokenizer.pad_token_id)


def build(settings: BaseSettings, folder: Path, progress: Progress) -> None:
    """Train the base and save it; a half-built folder is started over."""
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    model = make_llama(settings, tokenizer, intermediate_size=2 * settings.hidden_size, max_tokens=256)
    train_llama(model, settings, Lessons(settings, tokenizer).batch, progress)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    settings.write_to(folder)


def as_rows(world: World, questions: list[Question], part: str) -> pd.DataFrame:
    """The columns that verl's data set, its reward workers and the agent loop read."""
    return pd.DataFrame(
        {
            "data_source": DATA_SOURCE,
            "prompt": [{"role": "user", "content": question.text}],
            "ability": "search",
            "reward_model": {"style": "rule", "ground_truth": world.answer(question)},
            "extra_info": {"index": index, "split": part, "question": question.text},
        }
        for index, question in enumerate(questions)
    )


def write_data(folder: Path, *, seed: int, num_held_out: int) -> None:
    """The world of a seed: corpus.jsonl, train.parquet, val.parquet, tools.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    world = draw_world(random.Random(f"world {seed}"))  # noqa: S311  (not a secret)
    lines = (json.dumps({"id": doc.id, "title": doc.title, "text": doc.text}) for doc in world.corpus())
    (folder / "corpus.jsonl").write_text("".join(line + "\n" for line in lines))
    training, held_out = split(seed, num_held_out)
    as_rows(world, training, "train").to_parquet(folder / "train.parquet")
    as_rows(world, held_out, "val").to_parquet(folder / "val.parquet")
    tool = {
        "class_name": "gainful_verl.search_tool.SearchTool",
        "config": {"type": "native", "retriever": {"corpus": str(folder / "corpus.jsonl"), "topk": 2}},
    }
    (folder / "tools.yaml").write_text(json.dumps({"tools": [tool]}))
