"""The contract of a KV store, as checks that print what was broken."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gainful.errors import InputError, StoreError, StoreTimeoutError
from gainful.sparkv.stores import Lease, Miss, Store

__all__ = ["check_store"]

SECONDS = 30.0
"""For each call; a store that needs them is broken."""
Outside = Callable[[str, bytes], None]


def check_store(factory: Callable[[], Store], *, put_outside: Outside | None = None, seed: int | None = None) -> None:
    """Check one store against the contract of `gainful.sparkv.stores.Store`.

    Entries get random keys, so the store behind the factory may hold others; a store that evicts is emptied.

    Args:
        factory: Opens the store; called several times. It needs room for 8 MiB.
        put_outside: Puts bytes under a key by other means; required for a read-only store.
        seed: Of the random entries; None for other ones in every run, so that leftovers of the last do no harm.

    Raises:
        AssertionError: A clause of the contract is broken; names the clause and what was found.
    """
    for clause in _CLAUSES:
        with factory() as store:
            case = _Case(store, random.Random(seed), clause.__name__.strip("_").replace("_", " "), put_outside)  # noqa: S311
            if not (store.read_only and clause in _NEEDS_PUT) and not (not store.evicts and clause in _NEEDS_EVICTION):
                clause(case)
    _ends_with_close(factory())


@dataclass(frozen=True)
class _Case:
    store: Store
    draw: random.Random
    clause: str
    put_outside: Outside | None

    def require(self, kept: bool, found: object = "") -> None:
        if not kept:
            raise AssertionError(f"check_store({type(self.store).__name__}): {self.clause}: {found}")

    def key(self) -> str:
        return self.draw.randbytes(32).hex()

    def entry(self, num_bytes: int = 1000) -> tuple[str, bytes]:
        """A new entry, put."""
        key, data = self.key(), self.draw.randbytes(num_bytes)
        if self.put_outside is not None:
            self.put_outside(key, data)
        else:
            half = num_bytes // 2
            written = self.store.put(key, [data[:half], b"", memoryview(data)[half:]], max_seconds=SECONDS)
            self.require(written is True, f"put of a new key must return True, got {written!r}")
        return key, data

    @contextmanager
    def lease(self, *keys: str, from_start: bool = False) -> Iterator[Lease]:
        with self.store.acquire(keys, max_seconds=SECONDS, from_start=from_start) as lease:
            yield lease

    def present(self, key: str) -> bool:
        with self.lease(key) as lease:
            return len(lease) == 1

    def read(self, lease: Lease, key: str, begin: int | None = None, end: int = 0) -> bytes | Miss:
        part = None if begin is None else (begin, end)
        found = self.store.read(lease, key, part, max_seconds=SECONDS)
        return found if isinstance(found, Miss) else bytes(found)

    def refuses(self, call: Callable[[], object], kind: type[Exception], what: str) -> None:
        try:
            found = call()
        except kind:
            return
        except Exception as error:
            self.require(False, f"{what} must raise {kind.__name__}, got {error!r}")
        self.require(False, f"{what} must raise {kind.__name__}, got {found!r}")


def _gives_back_what_was_put(case: _Case) -> None:
    for num_bytes in (1, 2, 1000, 70_000, 1 << 20):
        key, data = case.entry(num_bytes)
        with case.lease(key) as lease:
            case.require(lease.keys == (key,) and lease.sizes == (num_bytes,), f"{lease.keys}, {lease.sizes}")
            case.require(lease.size_of(key) == num_bytes, lease.size_of(key))
            case.require(case.read(lease, key) == data, f"{num_bytes} bytes came back changed")


def _reads_parts(case: _Case) -> None:
    key, data = case.entry(5000)
    with case.lease(key) as lease:
        for begin, end in ((0, 1), (0, 5000), (4999, 5000), (17, 4711), (12, 12)):
            case.require(case.read(lease, key, begin, end) == data[begin:end], f"bytes {begin}..{end} differ")
        for begin, end in ((-1, 5), (5, 4), (0, 5001)):
            case.refuses(lambda b=begin, e=end: case.read(lease, key, b, e), InputError, f"bytes {begin}..{end}")  # type: ignore[misc]
        case.refuses(lambda: case.read(lease, case.key()), InputError, "a key that the lease does not hold")


def _leases_the_longest_run(case: _Case) -> None:
    there = [case.entry()[0] for _ in range(6)]
    gone = [case.key() for _ in range(3)]
    prompt = [there[0], gone[0], *there[1:4], gone[1], *there[4:6], gone[2]]
    with case.lease(*prompt) as lease:
        case.require((lease.start, lease.keys) == (2, tuple(there[1:4])), f"start {lease.start}, {len(lease)} keys")
    with case.lease(*prompt, from_start=True) as lease:
        case.require((lease.start, lease.keys) == (0, (there[0],)), f"from_start: {lease.start}, {len(lease)} keys")
    with case.lease(*prompt[1:], from_start=True) as lease:
        case.require(len(lease) == 0, f"from_start with a first key that is absent: {len(lease)} keys")
    with case.lease(*gone) as none, case.lease() as empty:
        case.require(len(none) == len(empty) == 0, "absent keys, or none, must give an empty lease")
    case.refuses(lambda: case.store.acquire([there[0]] * 2, max_seconds=SECONDS), InputError, "equal keys")


def _streams_in_the_order_asked(case: _Case) -> None:
    entries = dict(case.entry(3000) for _ in range(12))
    with case.lease(*entries) as lease:
        asked = [(key, (size, 3000 - size)) for size, key in enumerate(reversed(list(entries)))]
        found = list(case.store.stream(lease, iter(asked), max_seconds=SECONDS, in_flight_bytes=7000))
        expected = [(key, entries[key][begin:end]) for key, (begin, end) in asked]
        case.require(
            [(key, bytes(data)) for key, data in found if not isinstance(data, Miss)] == expected, "they differ"
        )
        early = iter(case.store.stream(lease, iter(asked), max_seconds=SECONDS))
        next(early)
        early.close()  # type: ignore[attr-defined]
        case.require(
            case.read(lease, asked[0][0]) == entries[asked[0][0]], "a stream that ended early spoilt the next read"
        )


def _keeps_the_first_of_equal_keys(case: _Case) -> None:
    key, data = case.entry()
    written = case.store.put(key, [b"another"], max_seconds=SECONDS)
    with case.lease(key) as lease:
        case.require(written is False and case.read(lease, key) == data, f"the second put returned {written!r}")


def _refers_to_nothing_of_the_callers(case: _Case) -> None:
    key, mutable = case.key(), bytearray(b"x" * 100)
    case.store.put(key, [mutable], max_seconds=SECONDS)
    mutable[:] = b"y" * 100
    with case.lease(key) as lease:
        case.require(case.read(lease, key) == b"x" * 100, "what was put changed with the caller's buffer")


def _discards(case: _Case) -> None:
    key, data = case.entry()
    with case.lease(key) as lease:
        case.store.discard(key, max_seconds=SECONDS)
        case.require(case.read(lease, key) in (data, Miss(key)), "a discarded entry reads as itself or as a Miss")
        streamed = list(case.store.stream(lease, [(key, None)], max_seconds=SECONDS))
        case.require(isinstance(streamed[0][1], Miss) or bytes(streamed[0][1]) == data, "the same in a stream")
    case.require(not case.present(key), "it is still there")
    case.store.discard(key, max_seconds=SECONDS)
    case.require(case.store.put(key, [data], max_seconds=SECONDS), "it cannot be put again")


def _never_evicts_what_is_leased(case: _Case) -> None:
    (held, data), (free, _) = case.entry(), case.entry()
    with case.lease(held) as lease:
        with case.lease(held):
            pass  # a second lease that ends must not end the first
        removed = case.store.evict(0, max_seconds=SECONDS)
        case.require(removed >= 1000 and not case.present(free), f"what is not leased must go, {removed} bytes went")
        case.require(case.present(held) and case.read(lease, held) == data, "what is leased must stay")
    case.store.evict(0, max_seconds=SECONDS)
    case.require(not case.present(held), "what was released must go")


def _evicts_the_longest_unused_first(case: _Case) -> None:
    case.store.evict(0, max_seconds=SECONDS)
    keys = [case.entry()[0] for _ in range(4)]
    case.present(keys[0])  # used now, so the second is the oldest
    removed = case.store.evict(3000, max_seconds=SECONDS)
    case.require(removed == 1000, f"one entry of 1000 bytes is too many, {removed} bytes went")
    stat = case.store.stat(max_seconds=SECONDS)
    case.require((stat.num_entries, stat.num_bytes) == (3, 3000), f"{stat}")
    case.require([case.present(key) for key in keys] == [True, False, True, True], "another than the oldest went")


def _keeps_deadlines(case: _Case) -> None:
    key = case.entry()[0]
    with case.lease(key) as lease:
        calls = {
            "acquire": lambda: case.store.acquire([key], max_seconds=0.0),
            "read": lambda: case.store.read(lease, key, max_seconds=0.0),
            "stream": lambda: list(case.store.stream(lease, [(key, None)], max_seconds=0.0)),
            "put": lambda: case.store.put(case.key(), [b"x"], max_seconds=0.0),
            "discard": lambda: case.store.discard(key, max_seconds=0.0),
            "evict": lambda: case.store.evict(0, max_seconds=0.0),
            "stat": lambda: case.store.stat(max_seconds=0.0),
        }
        for name, call in calls.items():
            case.refuses(call, StoreTimeoutError, f"{name} without any time")
        for seconds in (-1.0, float("inf"), float("nan")):
            case.refuses(lambda s=seconds: case.store.stat(max_seconds=s), InputError, f"max_seconds={seconds}")  # type: ignore[misc]
        case.require(case.present(key), "a call without time did something")


def _refuses_what_is_no_key(case: _Case) -> None:
    for key in ("", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "*", b"0" * 64):
        calls = {
            "acquire": lambda k=key: case.store.acquire([k], max_seconds=SECONDS),
            "put": lambda k=key: case.store.put(k, [b"x"], max_seconds=SECONDS),
            "discard": lambda k=key: case.store.discard(k, max_seconds=SECONDS),
        }
        for name, call in calls.items():
            if name == "acquire" or not case.store.read_only:
                case.refuses(call, InputError, f"{name} with key {key!r}")
    if not case.store.read_only:
        case.refuses(lambda: case.store.put(case.key(), [b""], max_seconds=SECONDS), InputError, "an empty entry")


def _ends_leases_once(case: _Case) -> None:
    key = case.entry()[0]
    with case.lease(key) as lease:
        before = case.store.stat(max_seconds=SECONDS).num_leased
    lease.release()
    after = case.store.stat(max_seconds=SECONDS).num_leased
    case.require((before, after) == (1, 0), f"num_leased {before} before the release, {after} after")
    case.refuses(lambda: case.read(lease, key), StoreError, "a read after the release")


def _takes_threads(case: _Case) -> None:
    entries = {case.key(): case.draw.randbytes(20_000) for _ in range(6)}
    barrier = threading.Barrier(8)

    def work(number: int) -> int:
        barrier.wait(SECONDS)
        num_wrong = 0
        for turn in range(6):
            key = list(entries)[(number + turn) % 6]
            case.store.put(key, [entries[key]], max_seconds=SECONDS)
            with case.lease(key) as lease:
                found = case.read(lease, key) if len(lease) else entries[key]
                num_wrong += found not in (entries[key], Miss(key))
        return num_wrong

    with ThreadPoolExecutor(8) as pool:
        wrong = sum(pool.map(work, range(8)))
    case.require(wrong == 0, f"{wrong} of 48 reads beside writers gave other bytes")
    case.require(all(case.present(key) for key in entries), "an entry got lost")


def _refuses_to_write(case: _Case) -> None:
    if case.store.read_only:
        case.refuses(lambda: case.store.put(case.key(), [b"x"], max_seconds=SECONDS), StoreError, "put")
        case.refuses(lambda: case.store.discard(case.key(), max_seconds=SECONDS), StoreError, "discard")


def _ends_with_close(store: Store) -> None:
    store.close()
    store.close()
    case = _Case(store, random.Random(), "ends with close", None)  # noqa: S311
    case.refuses(lambda: store.acquire([case.key()], max_seconds=SECONDS), StoreError, "acquire after close")


_NEEDS_EVICTION = (_never_evicts_what_is_leased, _evicts_the_longest_unused_first)
_NEEDS_PUT = (_keeps_the_first_of_equal_keys, _refers_to_nothing_of_the_callers, _discards, _takes_threads)
_CLAUSES = (
    _gives_back_what_was_put,
    _reads_parts,
    _leases_the_longest_run,
    _streams_in_the_order_asked,
    *_NEEDS_PUT,
    *_NEEDS_EVICTION,
    _keeps_deadlines,
    _refuses_what_is_no_key,
    _refuses_to_write,
    _ends_leases_once,
)
