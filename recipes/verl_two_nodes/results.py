"""What a run left behind, in one record; what is wrong with it; and how two runs differ."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.box import MARKDOWN
from rich.table import Table
from verl_on_cpu.records import REWARD_KEY, SECONDS_KEY, by_step, read_jsonl

if TYPE_CHECKING:  # it loads torch
    from training_command import RunPlan

COMPARED = (
    REWARD_KEY,
    "critic/advantages/mean",
    "critic/advantages/max",
    "critic/advantages/min",
    "actor/pg_loss",
    "actor/grad_norm",
)
TRAINING_ACTOR = "WorkerDict"
"""verl's actor class of a training process."""


def steps_of(plan: "RunPlan") -> list[dict[str, float]]:
    """Per training step, the compared figures and the seconds."""
    records = [record for record in read_jsonl(plan.metrics_file) if REWARD_KEY in record["data"]]
    return [{"step": one["step"], **{key: one["data"][key] for key in (*COMPARED, SECONDS_KEY)}} for one in records]


def answers_of(plan: "RunPlan") -> dict[int, list[tuple[str, str, float]]]:
    """Step -> prompt, answer and score of every response, sorted: the order depends on how work was spread."""
    return {
        step: sorted((row["input"], row["output"], row["score"]) for row in read_jsonl(file))
        for step, file in by_step(plan.rollouts).items()
    }


def actors_by_node(watched: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The watcher's record of each node, with how many actors of each class ran there."""
    actors = list(watched["actors"].values())
    return [
        {**node, "actors": Counter(_short(one["class"]) for one in actors if one["node_id"] == node["node_id"])}
        for node in watched["nodes"]
    ]


def _short(class_name: str) -> str:
    return class_name.rsplit(".", 1)[-1]


def record_of(plan: "RunPlan", watched: Mapping[str, Any], *, link_bytes: tuple[int, int], seconds: float) -> dict:
    """All that is kept of a finished run.

    Args:
        plan: The run.
        watched: What `watch.py` wrote.
        link_bytes: Over the cable while verl ran: from the first node to the second, and back.
        seconds: verl's run, from start to end.
    """
    return {
        "num_nodes": len(watched["nodes"]),
        "seed": plan.seed,
        "nodes": actors_by_node(watched),
        "link_bytes": link_bytes,
        "seconds": round(seconds, 1),
        "steps": steps_of(plan),
    }


def faults(record: Mapping[str, Any], num_steps: int) -> Iterator[str]:
    """What a good run does not have, a line each."""
    if len(record["steps"]) != num_steps:
        yield f"expected {num_steps} training steps, found {len(record['steps'])}"
    for step in record["steps"]:
        yield from (f"step {step['step']}: {key} is {step[key]}" for key in COMPARED if not isfinite(step[key]))
    for node in record["nodes"]:
        if not node["actors"].get(TRAINING_ACTOR):
            yield f"{node['address']}: expected a training process, found actors {dict(node['actors'])}"
    yield from plugin_faults(record)
    if record["num_nodes"] > 1 and not all(record["link_bytes"]):
        yield f"expected bytes both ways over the cable, found {record['link_bytes']}"


def plugin_faults(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each node on which `import verl` brought no estimator of ours; known before the training starts."""
    for node in record["nodes"]:
        if not (node["loaded_by_verl"] and node["agpo"]):
            yield f"{node['address']}: `import verl` did not load gainful; install it in the environment of this node"


def largest_differences(one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Figure -> the largest absolute difference between two runs' steps."""
    pairs = list(zip(one, other, strict=True))
    return {key: max(abs(a[key] - b[key]) for a, b in pairs) for key in COMPARED}


def first_other_answers(one: "RunPlan", other: "RunPlan") -> int | None:
    """The first step in which two runs did not give the same answers and scores; None if there is none."""
    ours, theirs = answers_of(one), answers_of(other)
    return next((step for step in sorted(ours | theirs) if ours.get(step) != theirs.get(step)), None)


def node_table(record: Mapping[str, Any]) -> Table:
    """A line per node: what verl loaded there by itself, and what ran there."""
    table = Table("node", "Ray's id", "gainful", "actors, by class", box=MARKDOWN)
    for node in sorted(record["nodes"], key=lambda node: node["address"]):
        actors = "\n".join(f"{count} {name}" for name, count in sorted(node["actors"].items()))
        loaded = "loaded" if node["loaded_by_verl"] and node["agpo"] else "not loaded"
        table.add_row(node["address"], node["node_id"][:8], loaded, actors or "none")
    return table


def run_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """A line per run: bytes over the cable, seconds, rewards."""
    table = Table("nodes", "MB there", "MB back", "s/step", "whole run, s", "reward, first and last", box=MARKDOWN)
    for record in records:
        there, back = (f"{count / 1e6:.1f}" for count in record["link_bytes"])
        rewards = [step[REWARD_KEY] for step in record["steps"]]
        seconds = f"{median(step[SECONDS_KEY] for step in record['steps']):.2f}", f"{record['seconds']:.0f}"
        table.add_row(str(record["num_nodes"]), there, back, *seconds, f"{rewards[0]:.3f}, {rewards[-1]:.3f}")
    return table


def write(file: Path, records: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any]) -> None:
    """Everything as JSON."""
    file.write_text(json.dumps({"runs": records, "comparison": comparison}, indent=2))
