"""The questions, and what only simulator, oracle and scorer may know of them.

Passages are named by a hash of title and text, as the controller names its evidence. Titles do not identify passages
in MuSiQue, so its gold passages are taken by their index.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gainful.budget.hashing import short_hash
from gainful.budget.text import jaccard, normalise, tokens

SETS = ("hotpotqa", "2wiki", "musique")
TUNED_ON = ("hotpotqa", "2wiki")
DISTRACTORS = "2wiki_distractors.json"


class DataError(ValueError):
    """The data folder does not hold what the benchmark needs."""


@dataclass(frozen=True)
class Passage:
    """One text of a pool; a single line, so that what stands in a prompt can be read back from it."""

    title: str
    text: str

    @property
    def id(self) -> str:
        return short_hash(f"{self.title}\n{self.text}")


@dataclass(frozen=True)
class Hop:
    """One fact that the question needs.

    In `query`, "#1" stands for the answer of the first hop. `subject` must be known before the query can be written;
    it is empty where the placeholders say so already.
    """

    query: str
    answer: str
    passage_id: str
    subject: str = ""


@dataclass(frozen=True)
class Question:
    """`text` is all that a method sees."""

    id: str
    text: str
    type: str
    answers: tuple[str, ...]
    gold_ids: tuple[str, ...]
    gold_titles: tuple[str, ...]
    """In the order of `gold_ids`."""
    hops: tuple[Hop, ...]
    """Empty for HotpotQA, which does not say how its gold passages hang together."""


@dataclass(frozen=True)
class Set:
    """Questions with the pool they are asked against."""

    name: str
    split: str
    questions: tuple[Question, ...]
    passages: tuple[Passage, ...]


def load_set(folder: Path, name: str, split: str) -> Set:
    """Read one file, `<name>_<split>.jsonl`, and pool its paragraphs without repeats.

    Raises:
        DataError: The file is not there, or a line lacks a field.
    """
    records = _records(folder, name, split)
    try:
        questions = tuple(_question(record) for record in records)
        pool = [_passage(paragraph) for record in records for paragraph in record["paragraphs"]]
    except KeyError as error:
        raise DataError(
            f"{name}_{split}.jsonl: expected every record to have the field {error}, one has not"
        ) from error
    if name == "2wiki":
        pool += [_passage(paragraph) for paragraph in json.loads(_read(folder / DISTRACTORS))]
    return Set(name, split, questions, tuple(dict.fromkeys(pool)))


def merged(sets: list[Set]) -> tuple[Passage, ...]:
    """One pool of all sets: the harder variant."""
    return tuple(dict.fromkeys(passage for one in sets for passage in one.passages))


def overlap(folder: Path) -> tuple[int, int]:
    """Paragraphs and gold titles that the tuning and evaluation questions of 2Wiki share."""
    splits = [_records(folder, "2wiki", split) for split in ("tune", "eval")]
    paragraphs = [{_passage(one) for record in records for one in record["paragraphs"]} for records in splits]
    titles = [{title for record in records for title in record["gold"]["titles"]} for records in splits]
    return len(paragraphs[0] & paragraphs[1]), len(titles[0] & titles[1])


def _records(folder: Path, name: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _read(folder / f"{name}_{split}.jsonl").splitlines()]


def _read(file: Path) -> str:
    if not file.is_file():
        raise DataError(f"expected {file}, found no such file; pass the folder that holds it as --data")
    return file.read_text(encoding="utf-8")


def _passage(paragraph: Mapping[str, str]) -> Passage:
    return Passage(" ".join(paragraph["title"].split()), " ".join(paragraph["text"].split()))


def _question(record: Mapping[str, Any]) -> Question:
    paragraphs = [_passage(paragraph) for paragraph in record["paragraphs"]]
    steps = record["gold"].get("sub_questions")
    if steps:
        gold = [paragraphs[step["paragraph_support_idx"]] for step in steps]
        hops = tuple(_hop_of_sub_question(step, passage) for step, passage in zip(steps, gold, strict=True))
    else:
        titles = {" ".join(title.split()) for title in record["gold"]["titles"]}
        gold = [passage for passage in paragraphs if passage.title in titles]
        hops = tuple(_hop_of_triple(triple, gold) for triple in record["gold"].get("triples", ()))
    gold = list(dict.fromkeys(gold))
    return Question(
        id=record["id"],
        text=" ".join(record["question"].split()),
        type=record["type"] or "",
        answers=tuple(record["answers"]),
        gold_ids=tuple(passage.id for passage in gold),
        gold_titles=tuple(passage.title for passage in gold),
        hops=hops,
    )


def _hop_of_sub_question(step: Mapping[str, Any], passage: Passage) -> Hop:
    return Hop(query=step["question"].replace(">>", " "), answer=step["answer"], passage_id=passage.id)


def _hop_of_triple(triple: list[str], gold: list[Passage]) -> Hop:
    """A triple does not name its passage: it is the gold one whose title is most like the subject."""
    subject, relation, answer = triple

    def likeness(passage: Passage) -> tuple[float, bool]:
        similar = jaccard(tokens(subject), tokens(passage.title))
        return similar, normalise(answer) in normalise(passage.text)

    return Hop(f"{subject} {relation}", answer, max(gold, key=likeness).id, subject)
