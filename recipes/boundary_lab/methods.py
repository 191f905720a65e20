"""The methods under comparison.

All but three come out of gainful's catalogue, as users get them. GRPO, Dr.GRPO and RLOO are not estimators of gainful:
GRPO is its kernel `group_relative`, which equals verl's, the other two are written out here.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.catalog import catalog
from gainful.config import from_mapping

REFERENCES = ("grpo", "dr_grpo", "rloo")
LABELS = {
    "grpo": "GRPO",
    "dr_grpo": "Dr.GRPO",
    "rloo": "RLOO",
    "psr": "PSR",
    "nsr": "NSR",
    "w_reinforce": "W-REINFORCE",
    "ngrpo": "NGRPO",
    "bnpo": "BNPO",
    "a_grae": "A-GRAE",
    "canon_length": "CANON",
    "adora": "ADORA",
    "agpo": "AGPO",
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "psr": {"denominator": "all"},
    "nsr": {"denominator": "all"},
    "w_reinforce": {"positive_weight": 0.1},
    "ngrpo": {"virtual_count": 1},
    "bnpo": {"max_weight": 1e6},
    "a_grae": {"alpha": 1.0},
    "canon_length": {"inter_weight": 1.0},
    "adora": {"damp": 0.1},
    "agpo": {"delta": 1.0, "negative_reward": -1.0},
}
"""The options of each method that has any: gainful's defaults, written out so that results name them."""
Options = Mapping[str, Any]


def advantages(name: str, options: Options, rewards: Tensor, mask: Tensor, group_ids: Tensor) -> Tensor:
    """[B, T] float32 for outcomes `rewards` [B], `mask` [B, T] and `group_ids` [B]."""
    if name in REFERENCES:
        return _reference(name, rewards, group_ids)[:, None] * mask
    method = catalog().advantage(name)
    config = from_mapping(method.config_cls, options, where="boundary_lab", owner=name)
    return method.fn(rewards, mask, group_ids, config=config)[0]


def _reference(name: str, rewards: Tensor, group_ids: Tensor) -> Tensor:
    """[B] float32."""
    groups = group_rows(group_ids)
    if name == "grpo":
        return group_relative(rewards.double(), groups).float()
    centred = rewards.double() - groups.mean(rewards)[groups.index]
    if name == "rloo":
        size = groups.size[groups.index]
        centred = centred * size / (size - 1)
    return centred.float()
