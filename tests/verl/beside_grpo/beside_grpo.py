"""An estimator for a test: `info_gain` and verl's own GRPO on the tensors of a real update, compared bit for bit."""

import json
import os
from pathlib import Path

import torch
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn, register_adv_est


@register_adv_est("info_gain_beside_grpo")
def info_gain_beside_grpo(token_level_rewards, response_mask, index, config=None, **others):
    tensors = {"token_level_rewards": token_level_rewards, "response_mask": response_mask, "index": index}
    algorithm = {"norm_adv_by_std_in_grpo": config.norm_adv_by_std_in_grpo, "gainful": {"weight": 0}}
    ours = get_adv_estimator_fn("info_gain")(**tensors, config=OmegaConf.create(algorithm), **others)
    theirs = compute_grpo_outcome_advantage(**tensors, norm_adv_by_std_in_grpo=config.norm_adv_by_std_in_grpo)
    record = {
        "equal": [torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)],
        "rows": len(index),
        "nonzero": int(theirs[0].count_nonzero()),
    }
    with Path(os.environ["BESIDE_GRPO_FILE"]).open("a") as file:
        file.write(json.dumps(record) + "\n")
    return ours
