"""Pressure, shadow price, denominator: from what an action costs and what is left to its score."""

import math
from collections.abc import Iterable, Mapping

from gainful.budget.config import ControllerConfig

__all__ = ["denominator", "penalty", "pressure", "shadow_price", "shares_left"]


def shares_left(left: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, float]:
    """Left over limit per limited axis, in [0, 1]; 0 for a limit of 0."""
    return {axis: max(0.0, left[axis] / limit) if limit else 0.0 for axis, limit in limits.items()}


def pressure(shares: Iterable[float]) -> float:
    """rho = 1 - min_i (left_i / B_i): the scarcer axis decides."""
    return 1 - min(1.0, min(shares, default=1.0))


def shadow_price(rho: float, config: ControllerConfig) -> float:
    """lambda(rho) = min(lambda_max, lambda0 * ((1 - rho)^(-alpha) - 1)): 0 at a full budget, lambda_max at rho = 1."""
    if rho >= 1:
        return config.shadow_price_max
    try:
        price = config.shadow_price * (math.pow(1 - rho, -config.shadow_power) - 1)
    except OverflowError:
        return config.shadow_price_max
    return min(config.shadow_price_max, price)


def penalty(price: float, cost: Mapping[str, int], limits: Mapping[str, int]) -> float:
    """Pi = lambda * max_i c_i / B_i over the limited axes."""
    return price * max((_share(cost.get(axis, 0), limit) for axis, limit in limits.items()), default=0.0)


def denominator(
    cost: Mapping[str, int], left: Mapping[str, int], held: Mapping[str, int], config: ControllerConfig
) -> float:
    """d without its floor: m_1 + kappa * mean of the others, m_i = c_i / (left_i - held_i), m_1 the largest.

    Dividing by what remains makes the last call cost 1.
    """
    shares = sorted((_share(cost.get(axis, 0), left[axis] - held.get(axis, 0)) for axis in left), reverse=True)
    if not shares:
        return 0.0
    others = shares[1:]
    return shares[0] + (config.other_axes_weight * math.fsum(others) / len(others) if others else 0.0)


def _share(cost: int, whole: int) -> float:
    """Cost over whole; 1 for a cost where nothing is left, since more than all of it cannot be taken."""
    if cost <= 0:
        return 0.0
    return cost / whole if whole > 0 else 1.0
