"""The comparison of `recipes/bench/budget` with a real model behind an OpenAI-compatible server.

python recipes/bench/budget_online run --api-base URL --model NAME --prices FILE --max-usd 5     ask the model
python recipes/bench/budget_online replay --store FILE        the same tables from what was kept; no network
python recipes/bench/budget_online calibrate --store FILE     the assumptions of the simulation, fitted

Without a command it is `run`. The key is read from the environment and is neither stored nor shown.
"""

import argparse
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "budget"))

import httpx
from data import DataError
from exchange import Exchange
from grid import Plan, bench_of, read_tuned
from options import checked_base, choice_of, key_of, parse, prices_of
from records import Choice, Head
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.prompt import Confirm
from running import Server, all_done, cells_of, run_cells
from store import Store
from till import Till

from gainful.budget import PriceTable
from gainful.errors import ConfigError, GainfulError


def run(options: argparse.Namespace, console: Console) -> int:
    prices, choice = prices_of(options), choice_of(options)
    head = Head(model=options.model, api_base=checked_base(options.api_base))
    key = "" if options.dry_run else key_of(options)
    plan = _plan(options, choice)
    file = options.store or options.out / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', options.model)}.jsonl"
    _tell_estimate(plan, choice, prices, options, file, console)
    if options.dry_run:
        return 0
    if not options.yes and not _confirmed():
        console.print("nothing was asked")
        return 1
    with Store(file, head) as store, httpx.Client() as client:
        till = Till(prices, options.max_usd, store.spent_micros)
        store.begin(choice)
        exchange = Exchange(store, till, client, secret=key)
        return _run_and_tell(plan, choice, exchange, Server(head.model, head.api_base, key), options, console)


def replay(options: argparse.Namespace, console: Console) -> int:
    with _opened(options) as store:
        choice = _last_choice(store)
        exchange, server = Exchange(store, Till(None, None)), Server(store.head.model, store.head.api_base)
        return _run_and_tell(_plan(options, choice), choice, exchange, server, options, console)


def calibrate(options: argparse.Namespace, console: Console) -> int:
    from calibrate import as_toml
    from calibrate import calibrate as fitted
    from noise import default_noise
    from reading import steps_of
    from telling import caption

    with _opened(options) as store:
        choice = _last_choice(store)
        plan, exchange = _plan(options, choice), Exchange(store, Till(None, None))
        server = Server(store.head.model, store.head.api_base)
        found = run_cells(plan, choice, exchange, server, 1, lambda: None)
        every = (step for done in all_done(found) for step in steps_of(done, bench_of(plan, done.cell.set)))
        steps = list({step.key: step for step in every}.values())
        noise, fits = fitted(steps, default_noise())
        text = as_toml(noise, fits, default_noise(), f"fitted to {len(steps)} requests of {caption(exchange)}")
    console.print(text, highlight=False, markup=False, soft_wrap=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "noise.toml").write_text(text, encoding="utf-8")
    console.print(f"wrote {options.out / 'noise.toml'}", highlight=False)
    return 0


def _run_and_tell(
    plan: Plan, choice: Choice, exchange: Exchange, server: Server, options: argparse.Namespace, console: Console
) -> int:
    from telling import tell

    total = sum(len(bench_of(plan, cell.set).questions) for cell in cells_of(choice))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("questions", total=total)
        found = run_cells(plan, choice, exchange, server, getattr(options, "at_once", 1), lambda: bar.advance(task))
    failures = tell(plan, choice, found, exchange, options.out, console)
    console.print(f"store: {exchange.store.path}; result: {options.out / 'result.json'}", highlight=False)
    return 1 if failures or len(found) < len(cells_of(choice)) else 0


def _tell_estimate(
    plan: Plan, choice: Choice, prices: PriceTable | None, options: argparse.Namespace, file: Path, console: Console
) -> None:
    from estimate import estimate

    benches = {name: bench_of(plan, name) for name in choice.sets}
    rough = estimate(cells_of(choice), benches, plan.config.passages_per_search)
    cost = "no prices: a local model"
    if prices is not None:
        cost = f"about {rough.price(prices):.2f} at most, never more than {options.max_usd:g}"
    console.print(
        f"{options.model}: {rough.runs:,} runs, about {rough.requests:,} requests with {rough.input_tokens:,} input "
        f"tokens and at most {rough.output_tokens:,} output tokens, equal ones paid once; {cost}\nstore: {file}",
        highlight=False,
        soft_wrap=True,
    )


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("run: nobody is there to confirm the estimate; pass --yes")
    return Confirm.ask("ask the model now?", default=False)


def _opened(options: argparse.Namespace) -> Store:
    if options.store is None:
        raise ConfigError(f"{options.command}: expected --store FILE, found none")
    return Store(options.store)


def _last_choice(store: Store) -> Choice:
    if store.choice is None:
        raise ConfigError(f"store {store.path}: nothing was run with it yet")
    return store.choice


def _plan(options: argparse.Namespace, choice: Choice) -> Plan:
    return Plan(options.data, choice.split, choice.number, read_tuned())


def main(arguments: list[str]) -> int:
    options, console = parse(arguments, __doc__ or ""), Console(width=140)
    logging.getLogger("gainful.llamaindex").setLevel(logging.ERROR)  # what stops a request is told once, at the end
    command: Callable[[argparse.Namespace, Console], int]
    command = {"run": run, "replay": replay, "calibrate": calibrate}[options.command]
    try:
        return command(options, console)
    except (GainfulError, DataError) as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; all answers are kept, run again to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
