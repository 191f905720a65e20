"""What `guard` adds to a step: guarded minus bare, with a model that answers at once and an ample budget."""

import argparse
import asyncio
import json
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent

from gainful.budget import Budget
from gainful_llamaindex import guard
from gainful_llamaindex.testing import Reply, ScriptedLLM

STEPS = 5
WARM_UP = 20


def search(query: str) -> str:
    """Search."""
    return query


def make_agent() -> FunctionAgent:
    """Four searches and an answer: each search adds two messages to the one of the user."""

    def script(messages, tools):
        return Reply(tools=[("search", {"query": f"q{len(messages)}"})]) if len(messages) < 2 * STEPS - 1 else "done"

    return FunctionAgent(tools=[search], llm=ScriptedLLM(script=script))


async def run_seconds(agent) -> tuple[float, int]:
    """Wall-clock seconds and model calls of one run."""
    agent.llm.calls.clear()
    started = time.perf_counter()
    await agent.run("question")
    return time.perf_counter() - started, len(agent.llm.calls)


async def measure(runs: int) -> dict:
    ample = Budget(tool_calls=1000, output_tokens=1_000_000, llm_calls=1000)
    bare_agent, guarded_agent = make_agent(), guard(make_agent(), ample)
    bare, extra = [], []
    for number in range(runs + WARM_UP):
        seconds, calls = await run_seconds(bare_agent)
        guarded_seconds, guarded_calls = await run_seconds(guarded_agent)
        assert calls == guarded_calls == STEPS
        if number >= WARM_UP:
            bare.append(1e3 * seconds / STEPS)
            extra.append(1e3 * (guarded_seconds - seconds) / STEPS)
    return {
        "bare_ms_per_step_median": round(statistics.median(bare), 3),
        "added_ms_per_step_median": round(statistics.median(extra), 3),
        "added_ms_per_step_p99": round(sorted(extra)[int(0.99 * len(extra))], 3),
        "added_model_calls": 0,
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="pairs of runs")
    parser.add_argument("--out", type=Path, help="file for the result")
    arguments = parser.parse_args()
    names = ("gainful", "llama-index-core", "llama-index-workflows", "pydantic")
    versions = {"python": platform.python_version(), **{name: version(name) for name in names}}
    result = {**asyncio.run(measure(arguments.runs)), "versions": versions}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
