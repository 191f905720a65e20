"""Nothing that a hook does may end the engine: an exception there kills the server."""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["guarded", "logger"]

logger = logging.getLogger("vllm.gainful")
Hook = TypeVar("Hook", bound=Callable[..., Any])


def guarded(otherwise: Callable[[], Any] = lambda: None) -> Callable[[Hook], Hook]:
    """Wrap a method of an object that has `hook_failed(name)`, which counts.

    Args:
        otherwise: Makes what is returned if the method raises: the answer of a connector that has nothing to offer.
    """

    def wrap(hook: Hook) -> Hook:
        @functools.wraps(hook)
        def safe(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return hook(self, *args, **kwargs)
            except Exception:
                if self.hook_failed(hook.__name__):
                    logger.exception("gainful: %s failed; the engine computes instead (said once)", hook.__name__)
                return otherwise()

        return safe  # type: ignore[return-value]

    return wrap
