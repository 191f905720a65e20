"""Makes `rollout.name=batched_cpu` known to verl.

verl's guide for outside rollout engines names two tables. The first has a public `register`; the second, which
holds the trainer's side, has none, so its dictionary is written to.
"""

from verl.workers.rollout import base
from verl.workers.rollout.replica import RolloutReplicaRegistry

from .host import HostMovedError, require

ROLLOUT_NAME = "batched_cpu"
_SENDER = "verl_on_cpu.rollout.WeightSender"


def _load_replica():
    """Called by verl when a replica is built; torch and transformers are imported no earlier."""
    from .rollout import BatchedReplica

    return BatchedReplica


def _register_sender() -> None:
    """Enter the trainer's side by name, next to verl's own engines."""
    require(base, "_ROLLOUT_REGISTRY", used_for="finding the trainer's side of the rollout engine")
    if ("vllm", "async") not in base._ROLLOUT_REGISTRY:
        raise HostMovedError(
            "verl_on_cpu: expected key ('vllm', 'async') in verl.workers.rollout.base._ROLLOUT_REGISTRY, "
            f"found {sorted(base._ROLLOUT_REGISTRY)}; the keys have another form now"
        )
    base._ROLLOUT_REGISTRY[(ROLLOUT_NAME, "async")] = _SENDER


RolloutReplicaRegistry.register(ROLLOUT_NAME, _load_replica)
_register_sender()
