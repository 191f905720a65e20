"""Builds tokenizer, policy and data on the spot: a tiny Llama that knows the form of a search and little else."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from demonstrations import CALL, CALL_END, EOS, Segment, Teacher
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
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
SETTINGS_FILE = "settings.json"
DATA_SOURCE = "two_searches"


@dataclass(frozen=True)
class BaseSettings:
    """Everything that decides the base; a change of any field builds a new one."""

    seed: int = 0
    hidden_size: int = 96
    num_layers: int = 3
    num_heads: int = 4
    num_copy_steps: int = 1000
    """First steps: right demonstrations, and every token is predicted, which teaches to copy."""
    num_steps: int = 1300
    """In all; the others show partly wrong demonstrations, and only what the policy writes is predicted."""
    batch_size: int = 48
    learning_rate: float = 3e-3
    layout_version: int = 2
    """Raised when the demonstrations or this file change."""

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def model_folder(root: Path, settings: BaseSettings) -> Path:
    return root / f"search-{settings.digest()}"


def is_built(folder: Path, settings: BaseSettings) -> bool:
    """The settings file is written last."""
    file = folder / SETTINGS_FILE
    return file.exists() and json.loads(file.read_text()) == asdict(settings)


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


def make_model(settings: BaseSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=2 * settings.hidden_size,
            num_hidden_layers=settings.num_layers,
            num_attention_heads=settings.num_heads,
            num_key_value_heads=settings.num_heads,
            max_position_embeddings=256,
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


Progress = Callable[[int, int, float], None]


def train_model(model: LlamaForCausalLM, tokenizer, settings: BaseSettings, progress: Progress) -> None:
    """Next-token training: first how to copy from documents, then when to search and when to answer."""
    peak = settings.learning_rate
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=settings.num_steps, pct_start=0.1)
    right, erring = Teacher(settings.seed, errs=False), Teacher(settings.seed + 1)
    for step in range(1, settings.num_steps + 1):
        copies = step <= settings.num_copy_steps
        teacher = right if copies else erring
        ids, labels = encode(tokenizer, [teacher.trajectory() for _ in range(settings.batch_size)])
        if copies:
            labels = ids.masked_fill(ids == tokenizer.pad_token_id, -100)
        loss = model(input_ids=ids, attention_mask=ids != tokenizer.pad_token_id, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        progress(step, settings.num_steps, float(loss.detach()))


def encode(tokenizer, trajectories: list[list[Segment]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, [B, T] int64, padded on the right; labels are -100 where the policy did not write."""
    rows, labels = [], []
    for segments in trajectories:
        parts = [tokenizer.encode(text) for text, _ in segments]
        rows.append(torch.tensor([token for part in parts for token in part]))
        written = [own for part, (_, own) in zip(parts, segments, strict=True) for _ in part]
        labels.append(torch.where(torch.tensor(written), rows[-1], -100))
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad(rows, batch_first=True, padding_value=tokenizer.pad_token_id),
        pad(labels, batch_first=True, padding_value=-100),
    )


def build(settings: BaseSettings, folder: Path, progress: Progress) -> None:
    """Train the base and save it; a half-built folder is started over."""
    torch.set_num_threads(1)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    model = make_model(settings, tokenizer)
    train_model(model, tokenizer, settings, progress)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    (folder / SETTINGS_FILE).write_text(json.dumps(asdict(settings), indent=2))


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
