"""Contract checks for what plug-ins register: three lines in a third party's tests."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gainful.testing.advantage import Batch, check_advantage, random_batch
    from gainful.testing.store import check_store

__all__ = ["Batch", "check_advantage", "check_store", "random_batch"]


def __getattr__(name: str) -> Any:
    """Looked up when first used: estimators need torch, stores do not."""
    if name not in __all__:
        raise AttributeError(f"module 'gainful.testing' has no attribute {name!r}")
    return getattr(import_module(f"gainful.testing.{'store' if name == 'check_store' else 'advantage'}"), name)
