"""Cells with a real model: the methods of the simulation, their pools and their rows; only the model is another."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from cells import Bench, Cell, _row
from data import Passage, Question
from exchange import Exchange, NotKeptError, StoppedError
from grid import Plan, all_cells, bench_of
from methods import METHODS, ORACLE, Method, Outcome, Runner, Setting
from pool import Pool, PoolRetriever
from records import Choice
from wire import Wire, WireCall, model_on

from gainful.budget import Budget
from gainful.budget.citations import split_citations
from gainful_llamaindex import BudgetedSearchAgent

Row = dict[str, Any]
SEED = 0
"""Of the methods that draw lots; the model draws none."""
AGENT = "VOI, agent"


def _search_agent(setting: Setting) -> Runner:
    """The agent instead of the query engine. It asks the same, so that beside VOI it costs nothing."""
    agent = BudgetedSearchAgent.from_defaults(
        budget=setting.budget,
        retriever=setting.retriever,
        llm=setting.llm,
        config=setting.config,
        streaming=False,
    )

    async def run(question: str) -> Outcome:
        output = await agent.run(question)
        return Outcome(output.response.content or "")

    return run


ONLINE: dict[str, Method] = {name: method for name, method in METHODS.items() if name != ORACLE}
"""The oracle's answers are the simulated model's."""
ONLINE[AGENT] = _search_agent


@dataclass(frozen=True)
class Done:
    """One question of a cell: its row, and the requests behind it."""

    cell: Cell
    question: Question
    row: Row
    calls: tuple[WireCall, ...]


@dataclass(frozen=True)
class Server:
    """Where requests go."""

    model: str
    api_base: str
    key: str = ""


def cells_of(choice: Choice) -> list[Cell]:
    return all_cells(choice.sets, choice.budgets, choice.methods, (SEED,))


def run_cells(
    plan: Plan, choice: Choice, exchange: Exchange, server: Server, at_once: int, on_question: Callable[[], None]
) -> dict[Cell, list[Done]]:
    """Every cell; cells without all their answers are left out where nothing may be asked.

    Raises:
        GainfulError: The cap is reached, or the server does not answer. What was answered is in the store.
    """
    benches = {name: _shared(bench_of(plan, name)) for name in choice.sets}

    def one(cell: Cell) -> list[Done] | None:
        if exchange.stop.is_set():
            return None
        try:
            return list(run_cell(plan, benches[cell.set], cell, exchange, server, on_question))
        except (NotKeptError, StoppedError):
            return None
        except Exception:
            exchange.stop.set()
            raise

    cells, workers = cells_of(choice), ThreadPoolExecutor(at_once)
    try:
        found = list(workers.map(one, cells))
    except BaseException:  # an interrupt too: what runs or waits must not go on asking
        exchange.stop.set()
        raise
    finally:
        workers.shutdown(cancel_futures=True)
    return {cell: done for cell, done in zip(cells, found, strict=True) if done is not None}


def run_cell(
    plan: Plan, bench: Bench, cell: Cell, exchange: Exchange, server: Server, on_question: Callable[[], None]
) -> Sequence[Done]:
    """All questions of a cell, one after the other."""
    wire = Wire(exchange)
    llm = model_on(wire, model=server.model, api_base=server.api_base, key=server.key)
    retriever = PoolRetriever(bench.pool, plan.config.passages_per_search)
    knobs = plan.knobs(cell.method, cell.budget)
    setting = Setting(Budget.parse(cell.budget), retriever, llm, cell.seed, plan.config, knobs)

    async def all_of_them() -> list[Done]:
        run, done = ONLINE[cell.method](setting), []
        for question in bench.questions:
            wire.calls.clear()
            retriever.log.clear()
            outcome = await _outcome(run, question, wire)
            row = _row(question, outcome, wire, retriever)
            row["seconds"] = round(sum(call.seconds for call in wire.calls), 4)
            done.append(Done(cell, question, row, tuple(wire.calls)))
            on_question()
        return done

    return asyncio.run(all_of_them())


async def _outcome(run: Runner, question: Question, wire: Wire) -> Outcome:
    """What was committed, without citations, which the prompt asks of every method and only some take out.

    Adapters turn a failed call into an outcome of its own; here it would be a score of the network, so it is raised.
    """
    try:
        outcome = await run(question.text)
    except Exception as error:
        if wire.trouble is not None:
            raise wire.trouble from error
        raise
    if wire.trouble is not None:
        raise wire.trouble
    return replace(outcome, answer=split_citations(outcome.answer, ())[0])


class _SharedPool(Pool):
    """One search at a time: the stemmer is not made for several threads."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.by_id, self.lock = pool, pool.by_id, Lock()

    def search(self, query: str, k: int) -> list[tuple[Passage, float]]:
        with self.lock:
            return self.pool.search(query, k)


def _shared(bench: Bench) -> Bench:
    return Bench(bench.name, bench.questions, _SharedPool(bench.pool), bench.lines)


def all_done(found: dict[Cell, list[Done]]) -> Iterator[Done]:
    for done in found.values():
        yield from done
