"""What `gainful doctor verl --probe` tries in a fresh interpreter: verl computes an advantage with our function."""

from collections.abc import Iterator

from gainful.doctor import Finding, answer

__all__ = ["findings"]

EXPECTED = [0.707, -1.707, -1.0, -1.0]
"""`agpo` of a group half right, then of one all wrong: (+-1) / sqrt(1 + 1), and 1 off for whatever is wrong."""


def findings() -> Iterator[Finding]:
    """verl's own `compute_advantage`, on four responses to two prompts."""
    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from tensordict import TensorDict
    from verl import DataProto
    from verl.trainer.ppo.ray_trainer import compute_advantage

    rewards = torch.zeros(4, 3)
    rewards[0, 2] = 1.0
    tensors = TensorDict({"token_level_rewards": rewards, "response_mask": torch.ones(4, 3)}, batch_size=4)
    prompts = np.array(["a", "a", "b", "b"], dtype=object)
    config = OmegaConf.create({"adv_estimator": "agpo"})
    data = DataProto(batch=tensors, non_tensor_batch={"uid": prompts})
    out = compute_advantage(data, adv_estimator="agpo", config=config)
    found = [round(value, 3) for value in out.batch["advantages"][:, 0].tolist()]
    if found == EXPECTED:
        yield Finding("live", "ok", f"verl's compute_advantage with agpo: {found}, as it must be")
    else:
        detail = f"verl's compute_advantage with agpo: expected {EXPECTED}, found {found}"
        yield Finding("live", "problem", detail, "pip install --force-reinstall --no-deps gainful")


if __name__ == "__main__":
    answer(findings())
