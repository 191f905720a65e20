"""verl's own look-up of estimators, asked instead of its private table."""

from collections.abc import Callable
from typing import Any

__all__ = ["holder"]


def holder(name: str) -> Callable[..., Any] | None:
    """The function that verl's look-up finds for `name`, or None."""
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    try:
        return get_adv_estimator_fn(name)
    except ValueError:  # how verl says that it knows no such name
        return None
