"""What is run: the CPU recipe's call of stock verl, on the nodes that are there."""

from pathlib import Path

from base_model import BasePaths
from training_command import RunPlan

NUM_RANKS = 2
"""Training processes in all, on one node or on two: their figures can be compared since nothing else differs."""
# what `ray start` of each node has decided already; Ray refuses to be told again by who joins
_JOIN = (
    "ray_kwargs.ray_init.num_cpus=null",
    *(f"~ray_kwargs.ray_init.{name}" for name in ("num_gpus", "object_store_memory", "include_dashboard")),
)
_NEVER = -1


def plan_for(
    num_nodes: int, *, num_steps: int, seed: int, out: Path, base: BasePaths, overrides: tuple[str, ...] = ()
) -> RunPlan:
    """One run on `num_nodes` nodes; the user's overrides come last and win."""
    return RunPlan(
        out=out / f"{num_nodes}-node-seed{seed}",
        estimator="agpo",
        num_steps=num_steps,
        seed=seed,
        base=base,
        validate_every=_NEVER,
        save_every=_NEVER,
        attempt=1,
        overrides=(
            *(f"trainer.nnodes={num_nodes}", f"trainer.n_gpus_per_node={NUM_RANKS // num_nodes}"),
            *("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=64", "trainer.val_before_train=false"),
            *_JOIN,
            *overrides,
        ),
    )
