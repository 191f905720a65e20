"""Time and memory of the advantage step: every estimator against verl's `grpo` and `grpo_vectorized`.

    python recipes/bench/advantage.py                    # 1,024 and 16,384 responses x 8,192 tokens
    python recipes/bench/advantage.py --rows 65536 --estimators agpo turn_credit   # needs about 14 GiB
    python recipes/bench/advantage.py --quick --json x   # for CI: ratios warn, memory fails

All functions are called as verl calls them, with string uids and a DictConfig, in turns within one process; the
figure is the ratio of medians of that run. `core` calls skip the adapter and take int64 ids. The floor is what any
implementation must do: read rewards and mask once and write a fresh output once, each measured as one torch call.

Limits: outcome estimators 1.0 x `grpo` and 1.2 x `grpo_vectorized`; those that need lengths or positions 1.5 x, those
that work by turn or token or read another tensor of the batch's size 4 x, `arm`, which selects tokens by rank, 8 x
`grpo_vectorized`; memory 2 x the output, or 16 MiB beside it where that is more.
Signals are handed over as our trainer modes do; the time to fetch them is not in the figures.
"""

import argparse
import ctypes
import gc
import json
import logging
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from verl.trainer.ppo.core_algos import (
    compute_grpo_outcome_advantage,
    compute_grpo_vectorized_outcome_advantage,
    get_adv_estimator_fn,
)

from gainful.advantage import agpo, diagnostics
from gainful.advantage.turns import find_turns
from gainful.catalog import EstimatorSpec, list_estimators
from gainful_verl.signals import Carried, carried

GROUP_SIZE = 8
LIMIT_GRPO, LIMIT_VECTORIZED, LIMIT_MEMORY = 1.0, 1.2, 2.0
LIMITS_VECTORIZED = {
    **dict.fromkeys(("canon_length", "adora", "aspo_shape"), 1.5),  # need lengths or positions
    **dict.fromkeys(("turn_credit", "info_gain", "turn_traj", "gigpo", "canon_entropy", "spae"), 4.0),
    "arm": 8.0,  # finds the least likely fifth of each row's tokens
}
OPTIONS = {"info_gain": {"missing": {"max_rate": 1.0}}, "arm": {"alpha": 0.5}, "spae": {"weight": 0.5, "damping": 0.5}}
WORKSPACE_BYTES = 16 * 2**20
"""What blocks of rows may take however small the batch is; it does not grow with the batch."""
PROBE_EVERY = 1024
"""Tokens between the probes that `spae` reads."""

Call = Callable[[], object]


class Batch:
    """Responses with tool gaps in the mask, one rewarded token a row, shuffled groups."""

    def __init__(self, num_rows: int, num_tokens: int, device: str, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(high: int, *shape: int) -> torch.Tensor:
            return torch.randint(high, shape, generator=generator)

        self.rewards = torch.zeros(num_rows, num_tokens)
        self.rewards[torch.arange(num_rows), draw(num_tokens, num_rows)] = draw(2, num_rows).float()
        starts, lengths = draw(num_tokens, num_rows), num_tokens // 4
        position = torch.arange(num_tokens)
        self.mask = torch.ones(num_rows, num_tokens, dtype=torch.int64)
        for row, start in enumerate(starts.tolist()):  # what a tool wrote
            self.mask[row, (position >= start) & (position < start + lengths)] = 0
        order = torch.randperm(num_rows, generator=generator)
        self.ids = (torch.arange(num_rows) // GROUP_SIZE)[order]
        names = np.array([str(uuid.UUID(int=group)) for group in range(num_rows // GROUP_SIZE + 1)], dtype=object)
        self.uids = names[self.ids.numpy()]
        self.rewards, self.mask, self.ids = (x.to(device) for x in (self.rewards, self.mask, self.ids))

    def carrying(self) -> torch.Tensor:
        """The rewards of `info_gain`: outcomes last, and a gain on each turn before the last that has room for one."""
        turns, rewards = find_turns(self.mask), torch.zeros_like(self.rewards)
        rewards[:, -1] = self.rewards.sum(dim=1)
        fits = ~turns.is_last & (turns.end - turns.start > 1)
        row, start, end = (part[fits] for part in (turns.row, turns.start, turns.end))
        rewards[row, end - 1], rewards[row, start] = 0.25, -0.25
        return rewards


def signals(batch: Batch, names: Sequence[str], seed: int = 1) -> dict[str, torch.Tensor]:
    """What the estimators need beside rewards, at random."""
    generator = torch.Generator().manual_seed(seed)
    num_rows, num_tokens = batch.mask.shape
    probed = torch.arange(num_tokens) % PROBE_EVERY == PROBE_EVERY - 1

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    def probes() -> torch.Tensor:
        return torch.where(probed, uniform(num_rows, num_tokens), torch.nan)

    make: dict[str, Callable[[], torch.Tensor]] = {
        "anchor_ids": lambda: torch.randint(-1, 20, (num_rows, num_tokens), generator=generator),
        "answer_ids": lambda: torch.randint(5, (num_rows,), generator=generator),
        "entity_match": lambda: uniform(num_rows),
        "entropy": lambda: uniform(num_rows, num_tokens),
        "old_log_probs": lambda: (1 - uniform(num_rows, num_tokens)).log(),
        "prompt_confidence": lambda: uniform(num_rows),
        "step_acc": probes,
        "step_conf": probes,
        "tool_calls": lambda: torch.randint(4, (num_rows,), generator=generator),
        "turn_rewards": lambda: batch.rewards.cpu().clone(),
    }
    return {name: make[name]().to(batch.rewards.device) for name in names}


def calling(spec: EstimatorSpec, batch: Batch, tensors: dict[str, object]) -> Call:
    """A call as verl makes it, within the trainer's block if the estimator needs signals."""
    estimate = get_adv_estimator_fn(spec.name)
    config = OmegaConf.create({"adv_estimator": spec.name, "gainful": OPTIONS.get(spec.name, {})})
    if spec.name == "info_gain":
        tensors = {**tensors, "token_level_rewards": batch.carrying()}
    if not spec.needs:
        return lambda: estimate(**tensors, config=config)
    handed_over = Carried(batch.uids, signals(batch, spec.needs))

    def call() -> object:
        with carried(handed_over):
            return estimate(**tensors, config=config)

    return call


def calls(batch: Batch, chosen: list[str]) -> dict[str, Call]:
    """What is timed, by name; of ours only the chosen estimators, or all if none is."""
    tensors = {"token_level_rewards": batch.rewards, "response_mask": batch.mask, "index": batch.uids}
    with_log = OmegaConf.create({"gainful": {"log_stats": True}})
    result = agpo(batch.rewards, batch.mask, batch.ids).advantages
    timed: dict[str, Call] = {
        "verl grpo": lambda: compute_grpo_outcome_advantage(**tensors),
        "verl grpo_vectorized": lambda: compute_grpo_vectorized_outcome_advantage(**tensors),
    }
    for spec in list_estimators():
        if not chosen or spec.name in chosen:
            timed[f"gainful {spec.name}"] = calling(spec, batch, tensors)
    timed["core agpo"] = lambda: agpo(batch.rewards, batch.mask, batch.ids)
    timed["gainful agpo, log_stats"] = lambda: get_adv_estimator_fn("agpo")(**tensors, config=with_log)
    timed["core diagnostics alone"] = lambda: diagnostics(result, batch.rewards, batch.mask, batch.ids)
    timed["floor"] = lambda: (batch.rewards.sum(), batch.mask.sum(), torch.zeros_like(batch.rewards).fill_(1))
    return timed


def seconds(call: Call, device: str) -> float:
    synchronise(device)
    start = time.perf_counter()
    result = call()
    synchronise(device)
    elapsed = time.perf_counter() - start
    del result
    return elapsed


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def peak_bytes(call: Call, device: str) -> int:
    """Most memory in use during the call beyond what was in use before it, output included."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory that the allocator kept would hide what is taken now
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark of this process
    before = _status_bytes("VmRSS")
    result = call()
    del result
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(field: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def measure(
    num_rows: int, num_tokens: int, repeats: int, device: str, chosen: list[str], progress: Progress
) -> list[dict[str, object]]:
    batch = Batch(num_rows, num_tokens, device)
    timed = calls(batch, chosen)
    task = progress.add_task(f"{num_rows:,} x {num_tokens:,}", total=(repeats + 1) * len(timed))
    samples: dict[str, list[float]] = {name: [] for name in timed}
    for repeat in range(repeats + 1):  # the first is the warm-up
        for name, call in timed.items():
            elapsed = seconds(call, device)
            if repeat:
                samples[name].append(elapsed)
            progress.advance(task)
    output_bytes = num_rows * num_tokens * 4
    median = {name: statistics.median(values) for name, values in samples.items()}
    return [
        {
            "rows": num_rows,
            "tokens": num_tokens,
            "device": device,
            "name": name,
            "median_seconds": median[name],
            "min_seconds": min(samples[name]),
            "ratio_to_grpo": median[name] / median["verl grpo"],
            "ratio_to_grpo_vectorized": median[name] / median["verl grpo_vectorized"],
            "ratio_to_floor": median[name] / median["floor"],
            "peak_memory_over_output": peak_bytes(timed[name], device) / output_bytes,
        }
        for name in timed
    ]


def verdicts(results: list[dict[str, object]]) -> tuple[list[str], list[str]]:
    """Time limits and memory limits that were missed."""
    ours = [row for row in results if str(row["name"]).startswith("gainful") and "log_stats" not in str(row["name"])]
    where = "{name} at {rows:,} x {tokens:,} on {device}: ".format
    slow = [
        where(**row) + f"{row[key]:.2f} x {key.removeprefix('ratio_to_')}, limit {limit}"
        for row in ours
        for key, limit in _time_limits(str(row["name"]).removeprefix("gainful "))
        if row[key] > limit
    ]
    large = [
        where(**row) + f"{row['peak_memory_over_output']:.2f} x the output, limit {LIMIT_MEMORY}"
        for row in ours
        if row["peak_memory_over_output"] > LIMIT_MEMORY and _workspace_bytes(row) > WORKSPACE_BYTES
    ]
    return slow, large


def _workspace_bytes(row: dict[str, object]) -> float:
    """Peak memory beside the output."""
    return (row["peak_memory_over_output"] - 1) * row["rows"] * row["tokens"] * 4


def _time_limits(name: str) -> list[tuple[str, float]]:
    if name in LIMITS_VECTORIZED:
        return [("ratio_to_grpo_vectorized", LIMITS_VECTORIZED[name])]
    return [("ratio_to_grpo", LIMIT_GRPO), ("ratio_to_grpo_vectorized", LIMIT_VECTORIZED)]


def show(console: Console, results: list[dict[str, object]]) -> None:
    for size in dict.fromkeys((row["device"], row["rows"], row["tokens"]) for row in results):
        table = Table(title="{}: {:,} responses x {:,} tokens".format(*size), title_justify="left")
        for heading in ("function", "median ms", "x grpo", "x grpo_vectorized", "x floor", "peak / output"):
            table.add_column(heading, justify="left" if heading == "function" else "right")
        for row in results:
            if (row["device"], row["rows"], row["tokens"]) == size:
                table.add_row(
                    str(row["name"]),
                    f"{1e3 * row['median_seconds']:.1f}",
                    f"{row['ratio_to_grpo']:.2f}",
                    f"{row['ratio_to_grpo_vectorized']:.2f}",
                    f"{row['ratio_to_floor']:.2f}",
                    f"{row['peak_memory_over_output']:.2f}",
                )
        console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 16384])
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--estimators", nargs="+", default=[], help="only these (default: all)")
    parser.add_argument("--quick", action="store_true", help="1,024 x 512")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.tokens = [1024], 512
    console = Console(width=120)
    versions = {name: version(name) for name in ("gainful", "verl", "torch", "numpy")}
    logging.getLogger("gainful.verl").setLevel(logging.ERROR)  # the line is timed, not shown
    console.print(f"threads {torch.get_num_threads()}, {versions}", highlight=False)
    results: list[dict[str, object]] = []
    with Progress(console=console, transient=True) as progress:
        for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
            for num_rows in arguments.rows:
                results += measure(
                    num_rows, arguments.tokens, arguments.repeats, device, arguments.estimators, progress
                )
    show(console, results)
    if arguments.json:
        settings = {"threads": torch.get_num_threads(), "repeats": arguments.repeats, "versions": versions}
        arguments.json.write_text(json.dumps({**settings, "results": results}, indent=2) + "\n")
    slow, large = verdicts(results)
    for line in (
        *(f"slower than the limit: {line}" for line in slow),
        *(f"more memory than the limit: {x}" for x in large),
    ):
        console.print(line, highlight=False)
    if not (slow or large):
        console.print("all limits kept")
    return 1 if large or (slow and not arguments.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
