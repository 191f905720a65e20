"""Batches as verl's trainers build them, and fresh interpreters that import verl."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

CASES = {
    "C1": ([1, 0, 0, 1], [7, 7, 7, 7]),
    "C2": ([0, 1, 0, 0, 1, 0, 1, 0], [0] * 8),
    "C3": ([1, 0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 0], [30, 7, 30, 7, 12, 30, 99, 12, 7, 30, -4, 30]),
}


@pytest.fixture
def advantages_of():
    """`advantages_of("C3", "agpo", delta=2)`: what verl's real compute_advantage stores, one value a row."""
    from omegaconf import OmegaConf
    from tensordict import TensorDict
    from verl import DataProto
    from verl.trainer.ppo.ray_trainer import compute_advantage

    def compute(case, estimator, algorithm=None, **options):
        outcomes, ids = CASES[case]
        rewards = torch.zeros(len(ids), 5)
        rewards[:, 3] = torch.tensor(outcomes, dtype=torch.float32)
        mask = torch.tensor([[1, 1, 0, 0, 1]] * len(ids))  # the score is on a token that a tool wrote
        tensors = TensorDict({"token_level_rewards": rewards, "response_mask": mask}, batch_size=len(ids))
        uids = np.array([f"prompt-{group}" for group in ids], dtype=object)
        config = OmegaConf.create({"adv_estimator": estimator, **(algorithm or {})})
        if options:
            config.gainful = options
        data = compute_advantage(
            DataProto(batch=tensors, non_tensor_batch={"uid": uids}), adv_estimator=estimator, config=config
        )
        advantages = data.batch["advantages"]
        assert torch.equal(advantages[:, 0:2], advantages[:, [1, 4]])
        assert not advantages[:, 2:4].any()
        return [round(value, 6) for value in advantages[:, 0].tolist()]

    return compute


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Where the recipe's base model is built once for all tests."""
    return tmp_path_factory.mktemp("bases")


@pytest.fixture
def fresh():
    """Runs code in a new interpreter and returns status and output: verl loads plug-ins once per process."""

    def run(*arguments, **variables):
        command = [sys.executable, *arguments]
        environment = {**os.environ, "HYDRA_FULL_ERROR": "0", **variables}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
        return done.returncode, done.stdout + done.stderr

    return run
