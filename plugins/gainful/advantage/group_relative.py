"""The GRPO kernel that several methods start from. verl has GRPO itself; here it is no estimator of its own."""

from torch import Tensor

from gainful.advantage.groups import Groups

__all__ = ["EPSILON", "group_relative"]

EPSILON = 1e-6
"""Added to standard deviations, as verl does."""


def group_relative(scores: Tensor, groups: Groups) -> Tensor:
    """[B] float64: (score - mean) / (sample std + 1e-6) over each row's group; 0 for a group of one.

    verl gives the raw score to a group of one: a baseline of 0 that nothing justifies.
    """
    centred = scores - groups.mean(scores)[groups.index]
    return centred / (groups.sample_std(scores) + EPSILON)[groups.index]
