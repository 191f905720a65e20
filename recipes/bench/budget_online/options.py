"""The command line: what may be asked for, and what is refused before anything is sent."""

import argparse
import os
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import tomllib
from data import SETS
from grid import BUDGETS, HEADLINE
from methods import VOI
from records import Choice
from running import ONLINE

from gainful.budget import Budget, PriceTable
from gainful.config import from_mapping
from gainful.errors import ConfigError, UnknownNameError, did_you_mean

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "multihop"
OUT = Path("out/bench/budget_online")
COMMANDS = ("run", "replay", "calibrate")
DEFAULT_METHODS = ("one-shot RAG, k x B", "spend-all", "guarded FunctionAgent", "guarded ReActAgent", VOI)
PAPER = "paper"


def parse(arguments: list[str], about: str) -> argparse.Namespace:
    if arguments[:1] and arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments = ["run", *arguments]
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=DATA, help="folder of the questions")
    shared.add_argument("--out", type=Path, default=OUT, help=f"folder of the results (default: {OUT})")
    shared.add_argument("--store", type=Path, help="file of requests and responses (default: by model, under --out)")
    parser = argparse.ArgumentParser(
        prog="python recipes/bench/budget_online",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", parents=[shared], help="ask the model; goes on where it was stopped")
    run.add_argument("--llm", choices=("openai-like",), default="openai-like", help="kind of server")
    run.add_argument("--api-base", required=True, help="such as https://host/v1; no key in it")
    run.add_argument("--model", required=True, help="its name at the server")
    run.add_argument(
        "--key-env", default="OPENAI_API_KEY", help="environment variable of the key (default: %(default)s)"
    )
    run.add_argument("--prices", type=Path, help="TOML: a table per model with input and output, per million tokens")
    run.add_argument("--max-usd", type=float, help="cap over all runs of the store, in the currency of the prices")
    run.add_argument("--local", action="store_true", help="a model of your own: no prices, no cap, no key needed")
    run.add_argument("--sets", nargs="+", default=list(SETS), help="default: all")
    run.add_argument("--split", choices=("tune", "eval"), default="eval", help="default: eval")
    run.add_argument("--n", type=int, help="questions per set, from the first; default: all")
    run.add_argument("--budgets", nargs="+", default=[PAPER], help="such as 2/300; default: paper, its four")
    run.add_argument(
        "--methods", nargs="+", default=list(DEFAULT_METHODS), help=f"default: {'; '.join(DEFAULT_METHODS)}"
    )
    run.add_argument("--at-once", type=int, default=1, help="cells at a time (default: 1)")
    run.add_argument("--yes", action="store_true", help="do not ask before the first request")
    run.add_argument("--dry-run", action="store_true", help="print the estimate and end")
    commands.add_parser("replay", parents=[shared], help="all tables from the store, without a network")
    commands.add_parser("calibrate", parents=[shared], help="fit the assumptions of the simulation to the store")
    return parser.parse_args(arguments)


def prices_of(options: argparse.Namespace) -> PriceTable | None:
    """None for a local model alone."""
    if options.local and options.prices is None:
        return None
    if options.prices is None:
        raise ConfigError(
            "run: expected --prices FILE, found none; what is paid for needs a price table, --local does not"
        )
    if options.max_usd is None or options.max_usd <= 0:
        raise ConfigError(f"run: expected a cap of more than 0, got --max-usd {options.max_usd}")
    try:
        tables = tomllib.loads(options.prices.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--prices {options.prices}: expected a TOML file: {error}") from error
    if options.model not in tables:
        raise UnknownNameError(
            f"--prices {options.prices}: no table [{options.model!r}]; there are: {', '.join(tables)}"
        )
    prices = from_mapping(PriceTable, tables[options.model], where=str(options.prices), owner=options.model)
    if not (prices.input > 0 and prices.output > 0):
        raise ConfigError(f"--prices {options.prices}: input and output of {options.model} must be more than 0")
    return prices


def choice_of(options: argparse.Namespace) -> Choice:
    sets = [name for text in options.sets for name in text.split(",")]
    budgets = [
        one for text in options.budgets for part in text.split(",") for one in (HEADLINE if part == PAPER else (part,))
    ]
    _check(sets, SETS)
    _check(options.methods, ONLINE)
    for budget in budgets:
        Budget.parse(budget)
        if "/" not in budget:
            raise ConfigError(f"budget: expected one such as {BUDGETS[2]!r}, or {PAPER!r}, got {budget!r}")
    if (options.n is not None and options.n < 1) or options.at_once < 1:
        raise ConfigError("run: --n and --at-once must be at least 1")
    return Choice(
        sets=tuple(sets), split=options.split, number=options.n, budgets=tuple(budgets), methods=tuple(options.methods)
    )


def checked_base(api_base: str) -> str:
    """Where requests go, as it may be stored."""
    parts = urlsplit(api_base)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
    ):
        raise ConfigError("--api-base: expected http(s)://host/path without user, password and query")
    return api_base.rstrip("/")


def key_of(options: argparse.Namespace) -> str:
    key = os.environ.get(options.key_env, "")
    if not key and not options.local:
        raise ConfigError(f"run: expected the key in the environment variable {options.key_env}, found none")
    return key


def _check(names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(f"unknown name {name!r}{did_you_mean(name, known)}; known: {'; '.join(known)}")
