"""One cell of the grid: a set, a budget, a method and a seed. Finished cells are files, so a stopped run goes on."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain import Brain
from data import Passage, Question
from methods import ORACLE, Method, Outcome, Setting
from model import SimulatedLLM, lines_of
from noise import Noise
from pool import Pool, PoolRetriever
from scoring import abstained, exact, f1

from gainful.budget import Budget, ControllerConfig
from gainful.budget.actions import Passage as FoundPassage
from gainful.budget.passages import as_evidence, clean


@dataclass(frozen=True)
class Cell:
    """What is run, and under which name it is kept."""

    set: str
    budget: str
    method: str
    seed: int

    def file(self, folder: Path) -> Path:
        method = self.method.replace(" ", "_").replace(",", "")
        return folder / self.set / self.budget.replace("/", "-") / method / f"{self.seed}.jsonl"


@dataclass(frozen=True)
class Bench:
    """A set with its index. The lines by which the model knows passages again are made once."""

    name: str
    questions: Sequence[Question]
    pool: Pool
    lines: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, questions: Sequence[Question], pool: Pool) -> "Bench":
        return cls(name, questions, pool, lines_of(list(pool.by_id.values())))


def run_cell(
    bench: Bench, cell: Cell, method: Method, noise: Noise, config: ControllerConfig, knobs: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """All questions of a set, one row each."""
    titles = [passage.title for passage in bench.pool.by_id.values()]
    brains = {one.text: Brain(one, noise, cell.seed, titles) for one in bench.questions}
    llm = SimulatedLLM(brains=brains, by_line=bench.lines)
    retriever = PoolRetriever(bench.pool, config.passages_per_search)
    named = {_name_of(passage, config): passage for passage in bench.pool.by_id.values()}
    setting = Setting(Budget.parse(cell.budget), retriever, llm, cell.seed, config, knobs)

    async def all_rows() -> list[dict[str, Any]]:
        run, rows = method(setting), []
        for question in bench.questions:
            llm.calls.clear()
            retriever.log.clear()
            outcome = await run(question.text)
            outcome = _best(outcome, brains[question.text], named) if cell.method == ORACLE else outcome
            rows.append(_row(question, outcome, llm, retriever))
        return rows

    return asyncio.run(all_rows())


def kept(cell: Cell, folder: Path, run: Any) -> list[dict[str, Any]]:
    """The rows of a finished cell, or those of `run()`, which are then kept."""
    file = cell.file(folder)
    if file.is_file():
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    start = time.perf_counter()
    rows = run()
    seconds = (time.perf_counter() - start) / max(1, len(rows))
    rows = [{**row, "seconds": round(seconds, 5)} for row in rows]
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(f".{os.getpid()}")
    half.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    half.replace(file)
    return rows


def _row(question: Question, outcome: Outcome, llm: SimulatedLLM, retriever: PoolRetriever) -> dict[str, Any]:
    found = {passage.id for query, k in retriever.log for passage, _ in retriever.pool.search(query, k)}
    return {
        "id": question.id,
        "answer": outcome.answer,
        "f1": f1(outcome.answer, question.answers),
        "em": exact(outcome.answer, question.answers),
        "abstained": abstained(outcome.answer),
        "all_gold": found >= set(question.gold_ids),
        "searches": list(retriever.log),
        "llm": [[call.kind, call.max_tokens, call.output_tokens, call.input_tokens] for call in llm.calls],
    }


def _best(outcome: Outcome, brain: Brain, named: Mapping[str, Passage]) -> Outcome:
    """The answer at the moment at which it scores best: nobody could know that moment."""
    answers = [brain.answer([named[name] for name in names]) for names in outcome.prefixes]
    answer = max([outcome.answer, *answers], key=lambda one: f1(one, brain.question.answers))
    return Outcome(answer, outcome.prefixes)


def _name_of(passage: Passage, config: ControllerConfig) -> str:
    """The controller names a passage by what it reads of it, which is less than all of a long one."""
    read = FoundPassage(
        title=clean(passage.title, config.max_text_chars), text=clean(passage.text, config.max_text_chars)
    )
    return as_evidence([read], query=0)[0].id
