"""Coroutines from code that is not async."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from llama_index.core.async_utils import asyncio_run

__all__ = ["run_sync"]

T = TypeVar("T")


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end, inside or outside a running loop, and raise what the coroutine raises.

    The host's `asyncio_run` takes a RuntimeError of the coroutine for a missing loop and hides it.
    """
    result, error = asyncio_run(_caught(coroutine))
    if error is not None:
        raise error
    return result


async def _caught(coroutine: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    try:
        return await coroutine, None
    except Exception as error:  # handed over, and raised by run_sync
        return None, error
