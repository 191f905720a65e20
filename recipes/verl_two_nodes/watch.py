"""Runs beside the training, as a program of its own on the head: which node loaded what, and which actors ran where.

`python watch.py NUM_NODES FILE` writes FILE anew whenever it has seen more, until it is ended.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LOOK_SECONDS = 0.5
JOIN_SECONDS = 150.0


@ray.remote(num_cpus=0)
def look_around() -> dict[str, Any]:
    """On some node: import verl as its workers do, nothing of ours, and say what came with it."""
    import sys
    from importlib.metadata import PackageNotFoundError, version

    from verl.trainer.ppo import core_algos

    estimator = core_algos.ADV_ESTIMATOR_REGISTRY.get("agpo")
    try:
        installed = version("gainful")
    except PackageNotFoundError:
        installed = None
    return {
        "installed": installed,
        "loaded_by_verl": "gainful_verl.autoload" in sys.modules,
        "agpo": estimator and f"{estimator.__module__}.{estimator.__qualname__}",
    }


def wait_for_nodes(num_nodes: int) -> list[dict[str, Any]]:
    """Ray's records of the living nodes, as soon as all are there."""
    until = time.monotonic() + JOIN_SECONDS
    while True:
        alive = [node for node in ray.nodes() if node["Alive"]]
        if len(alive) == num_nodes:
            return alive
        if time.monotonic() > until:
            raise TimeoutError(f"watch: expected {num_nodes} nodes in {JOIN_SECONDS:g} s, found {len(alive)}")
        time.sleep(LOOK_SECONDS)


def describe(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One record a node: Ray's id and address, and what a process there finds."""
    pinned = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    found = ray.get([look_around.options(scheduling_strategy=strategy).remote() for strategy in pinned])
    return [
        {"node_id": node["NodeID"], "address": node["NodeManagerAddress"], **around}
        for node, around in zip(nodes, found, strict=True)
    ]


def placed_actors() -> dict[str, dict[str, str]]:
    """Actor id -> class and node, of all actors that have a node now.

    Ray's public list of actors needs its dashboard, which these nodes do without.
    """
    return {
        actor_id: {"class": actor["ActorClassName"], "node_id": actor["Address"]["NodeID"]}
        for actor_id, actor in ray._private.state.actors().items()
        if actor["State"] == "ALIVE"
    }


def write(file: Path, record: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=2))
    part.replace(file)


def main(num_nodes: int, file: Path) -> None:
    ray.init(log_to_driver=False)  # at RAY_ADDRESS
    nodes, actors = describe(wait_for_nodes(num_nodes)), placed_actors()
    write(file, {"nodes": nodes, "actors": actors})
    while True:
        time.sleep(LOOK_SECONDS)
        seen = {**actors, **placed_actors()}
        if seen != actors:
            actors = seen
            write(file, {"nodes": nodes, "actors": actors})


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
