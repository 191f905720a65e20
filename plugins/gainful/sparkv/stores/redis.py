"""redis:// and rediss://: Redis or Valkey through redis-py with hiredis.

One string per entry, under `PREFIX:KEY`. Presence is asked for with STRLEN, parts with GETRANGE, both pipelined;
entries are written with SET NX, which is atomic. What stays and for how long is the server's: its maxmemory, its
eviction policy and the TTL given here. So a lease pins nothing, and an entry that is gone when it is read is a `Miss`.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from pydantic import Field, PositiveInt, SecretStr

from gainful.config import Options
from gainful.errors import ConfigError, MissingExtraError, StoreError, StoreFullError, StoreTimeoutError
from gainful.sparkv.stores.base import Buffer, ByteRange, Found, Store, StoreStat
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.deadline_socket import with_deadline_socket
from gainful.sparkv.stores.lease import Lease, Miss
from gainful.sparkv.stores.url import redacted, split_url

__all__ = ["RedisOptions", "RedisStore"]

SOCKET_READ_BYTES = 1 << 20
PIPELINED = 1024
"""Short commands sent before their answers are read: both directions fit the sockets' buffers."""


class RedisOptions(Options):
    """Of `redis://HOST:PORT/DB` and `rediss://...`."""

    prefix: str = Field(default="gainful:sparkv", min_length=1, max_length=128)
    """Beginning of all keys."""
    ttl_seconds: PositiveInt | None = None
    """Age at which the server drops an entry; None leaves it to the server's eviction policy."""
    username: str | None = None
    """If the URL has none."""
    password: SecretStr | None = None
    """If the URL has none; never shown."""
    max_connections: PositiveInt = 16
    """Kept open for the next call; more are opened when needed, and closed."""


class RedisStore(Store):
    """Entries on a server. Connects at the first call; a connection that was idle too long is replaced once."""

    pins = False
    evicts = False
    concurrent_reads = PIPELINED

    def __init__(self, url: str, options: RedisOptions | None = None) -> None:
        super().__init__()
        self._options = options or RedisOptions()
        self._name = redacted(url)
        self._redis = _client()
        self._pool = _pool(self._redis, url, self._options)
        self._idle: deque[Any] = deque()
        self._idle_lock = threading.Lock()

    def _find(self, keys: Sequence[str], deadline: Deadline) -> list[Found]:
        sizes: list[int] = self._call([("STRLEN", self._entry(key)) for key in keys], deadline)
        return [(size, None) if size else None for size in sizes]

    def _fetch(self, handle: None, key: str, begin: int, end: int, deadline: Deadline) -> Buffer | None:
        return _found(self._call([self._getrange(key, begin, end)], deadline)[0], end - begin)

    def _forget(self, handle: None) -> None:
        """Nothing was pinned."""

    def _write(self, key: str, parts: Sequence[memoryview], num_bytes: int, deadline: Deadline) -> bool:
        command: list[Any] = ["SET", self._entry(key), b"".join(parts), "NX"]
        if self._options.ttl_seconds is not None:
            command += ["EX", self._options.ttl_seconds]
        return self._call([tuple(command)], deadline)[0] is not None

    def _remove(self, key: str, deadline: Deadline) -> None:
        self._call([("UNLINK", self._entry(key))], deadline)

    def _fill(self, counts: StoreStat, deadline: Deadline) -> StoreStat:
        """Of the whole server, as it says: other programs' data included."""
        info = self._call([("INFO", "memory")], deadline)[0].decode()
        fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        return replace(counts, num_bytes=int(fields["used_memory"]), capacity_bytes=int(fields["maxmemory"]) or None)

    def _close(self) -> None:
        self._disconnect_idle()

    def _disconnect_idle(self) -> None:
        with self._idle_lock:
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.disconnect()

    def _stream(
        self, lease: Lease, requests: Iterable[tuple[str, ByteRange | None]], deadline: Deadline, in_flight_bytes: int
    ) -> Iterator[tuple[str, memoryview | Miss]]:
        """One connection, requests ahead of their answers: answers come in order, at the full rate of the link."""
        flying: deque[tuple[str, int]] = deque()
        with self._connection(deadline) as connection:
            for key, part in requests:
                with lease.using(key):
                    begin, end = lease.checked_range(key, part)
                connection.send_packed_command(connection.pack_command(*self._getrange(key, begin, end)))
                flying.append((key, end - begin))
                while sum(size for _, size in flying) >= in_flight_bytes or len(flying) >= PIPELINED:
                    yield self._next_answer(connection, flying)
            while flying:
                yield self._next_answer(connection, flying)

    def _next_answer(self, connection: Any, flying: deque[tuple[str, int]]) -> tuple[str, memoryview | Miss]:
        key, num_bytes = flying.popleft()
        return key, self._answer(key, _found(connection.read_response(), num_bytes), num_bytes)

    def _call(self, commands: Sequence[tuple[Any, ...]], deadline: Deadline) -> list[Any]:
        """Answers of commands that may be repeated: sent together, so that the round trip is paid once."""
        try:
            return self._try(commands, deadline)
        except _StaleConnectionError:
            self._disconnect_idle()  # a server that was restarted has closed all of them
            return self._try(commands, deadline)

    def _try(self, commands: Sequence[tuple[Any, ...]], deadline: Deadline) -> list[Any]:
        answers = []
        with self._connection(deadline) as connection:
            for at in range(0, len(commands), PIPELINED):
                batch = commands[at : at + PIPELINED]
                for piece in connection.pack_commands(batch):
                    connection.send_packed_command([piece])
                answers += [connection.read_response() for _ in batch]
        return answers

    @contextmanager
    def _connection(self, deadline: Deadline) -> Iterator[Any]:
        """A connection whose waits all end at the deadline; kept for the next call only if nothing went wrong."""
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        stale = connection is not None
        connection = connection or self._new_connection()
        try:
            connection.set_deadline(deadline)
            connection.connect()
            yield connection
        except BaseException as error:
            connection.disconnect()
            if stale and isinstance(error, self._redis.ConnectionError) and deadline.remaining():
                raise _StaleConnectionError(f"{self._name}: {error}") from error
            if isinstance(error, self._redis.RedisError):
                raise self._explained(error, deadline) from error
            raise
        with self._idle_lock:
            if len(self._idle) < self._options.max_connections and not self._closed:
                self._idle.append(connection)
                return
        connection.disconnect()

    def _new_connection(self) -> Any:
        """Not from the pool, which counts those it has made, for ever, and makes no more than so many."""
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def _explained(self, error: Exception, deadline: Deadline) -> StoreError:
        if isinstance(error, self._redis.TimeoutError) or not deadline.remaining():
            return StoreTimeoutError(f"{self._name}: no answer within {deadline.max_seconds:g} s")
        if isinstance(error, self._redis.OutOfMemoryError):
            return StoreFullError(f"{self._name}: {error}; set maxmemory-policy to allkeys-lru, or raise maxmemory")
        return StoreError(f"{self._name}: {error}")

    def _entry(self, key: str) -> str:
        return f"{self._options.prefix}:{key}"

    def _getrange(self, key: str, begin: int, end: int) -> tuple[Any, ...]:
        # never GET: how much comes back must not be up to whoever replaced the entry
        return ("GETRANGE", self._entry(key), begin, end - 1) if end > begin else ("STRLEN", self._entry(key))


class _StaleConnectionError(StoreError):
    """A kept connection was closed by the other side; the commands are worth another try."""


def _found(answer: Any, num_bytes: int) -> Buffer | None:
    """The bytes; None for the empty answer of a missing entry."""
    if num_bytes == 0:
        return b"" if answer else None
    return answer or None


def _client() -> Any:
    try:
        import_module("hiredis")
        return import_module("redis")
    except ImportError as error:
        raise MissingExtraError("redis:// needs the redis client; pip install 'gainful[redis]'") from error


def _pool(redis: Any, url: str, options: RedisOptions) -> Any:
    """Settings of the URL; redis-py's own parser is not shown to the user, since it repeats what it cannot read."""
    tls = split_url(url).scheme == "rediss"
    backoff = import_module("redis.backoff")
    retry = import_module("redis.retry").Retry(backoff.NoBackoff(), 0)  # retries would not know the deadline
    settings: dict[str, Any] = {"protocol": 2, "retry": retry, "socket_read_size": SOCKET_READ_BYTES}
    if options.username is not None:
        settings["username"] = options.username
    if options.password is not None:
        settings["password"] = options.password.get_secret_value()
    try:
        pool = redis.ConnectionPool.from_url(
            url, connection_class=with_deadline_socket(redis.SSLConnection if tls else redis.Connection), **settings
        )
    except ValueError:
        raise ConfigError(f"{redacted(url)}: not a Redis URL; expected redis://[user:password@]host:port/db") from None
    return pool
