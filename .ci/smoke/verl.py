"""Stock verl finds an estimator by name and computes with it."""

import numpy as np
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
from verl.trainer.ppo.ray_trainer import compute_advantage

assert get_adv_estimator_fn("agpo").__name__ == "gainful_agpo"
rewards, mask = torch.zeros(4, 3), torch.tensor([[1, 1, 0]] * 4)
rewards[0, 1] = 1.0
tensors = TensorDict({"token_level_rewards": rewards, "response_mask": mask}, batch_size=4)
batch = DataProto(batch=tensors, non_tensor_batch={"uid": np.array(["a", "a", "b", "b"], dtype=object)})
done = compute_advantage(batch, adv_estimator="agpo", config=OmegaConf.create({"adv_estimator": "agpo"}))
advantages = done.batch["advantages"]
assert advantages[0, 0] > 0 > advantages[1, 0], advantages
assert (advantages[2:, :2] < 0).all(), "agpo has a signal where all are wrong"
assert (advantages[:, 2] == 0).all(), "nothing is written where the mask is 0"
print("agpo by name:", advantages[:, 0].tolist())
