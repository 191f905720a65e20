"""Several reads at once, asked for before the answers are needed."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

Request = TypeVar("Request")
Answer = TypeVar("Answer")


def read_ahead(
    requests: Iterable[Request],
    read: Callable[[Request], Answer],
    size_of: Callable[[Request], int],
    *,
    num_threads: int,
    in_flight_bytes: int,
) -> Iterator[Answer]:
    """Answers in the order of `requests`, which are taken only as far ahead as both limits allow.

    Closing the iterator cancels what was not begun, and waits for nothing.
    """
    flying: deque[tuple[int, Future[Answer]]] = deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="sparkv-store")
    num_bytes = 0
    try:
        for request in requests:
            flying.append((size_of(request), pool.submit(read, request)))
            num_bytes += flying[-1][0]
            while flying and (num_bytes >= in_flight_bytes or len(flying) >= num_threads):
                size, future = flying.popleft()
                num_bytes -= size
                yield future.result()
        for _, future in flying:
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
