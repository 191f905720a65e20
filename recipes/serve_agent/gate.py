"""How many runs go on at once, and how many more may wait for their turn. Who finds both full is sent away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["FullError", "Gate"]


class FullError(Exception):
    """No room now; come again later."""


class Gate:
    """For one event loop.

    Args:
        max_running: Runs at once, >= 1.
        max_waiting: Requests that may wait beside them, >= 0.
        wait_seconds: How long each of them waits at most.
    """

    def __init__(self, max_running: int, max_waiting: int, wait_seconds: float) -> None:
        self.max_running, self.max_waiting, self.wait_seconds = max_running, max_waiting, wait_seconds
        self.running = self.waiting = 0
        self.closed = False
        self._free = asyncio.Semaphore(max_running)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """A place for the time of a `with`.

        Raises:
            FullError: The gate is closed, all places are taken and waited for, or none got free in time.
        """
        if self.closed:
            raise FullError("the service is shutting down")
        if self.running + self.waiting >= self.max_running + self.max_waiting:
            raise FullError(f"{self.running} requests run and {self.waiting} wait, which is all there is room for")
        await self._wait()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self.wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise FullError(f"no place got free within {self.wait_seconds:g} s") from None
        finally:
            self.waiting -= 1
