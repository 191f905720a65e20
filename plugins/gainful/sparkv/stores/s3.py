"""s3://, gs://, az:// and http(s)://: object stores through obstore, ranged reads, multipart writes.

One object per entry, at `PREFIX/ab/abcdef...`: the same tree that a file store makes, so a folder behind a web server
can be read over http. Objects appear whole or not at all. What stays and for how long is the bucket's lifecycle: a
lease pins nothing, and an object that is gone when it is read is a `Miss`. Credentials come from where the cloud's own
tools find them (environment, profile, instance role), never from the URL.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

from pydantic import Field, PositiveInt

from gainful.config import Options
from gainful.errors import ConfigError, MissingExtraError, StoreError, StoreTimeoutError
from gainful.sparkv.stores.base import Buffer, Found, Store
from gainful.sparkv.stores.deadline import Deadline
from gainful.sparkv.stores.url import redacted, split_url

__all__ = ["ObjectOptions", "ObjectStore"]

Answer = TypeVar("Answer")

MULTIPART_BYTES = 8 << 20
"""Larger entries are written in parts of this size, several at once."""
HEADS_AT_ONCE = 32


class ObjectOptions(Options):
    """Of `s3://BUCKET/PREFIX`, `gs://...`, `az://...`, `https://HOST/PREFIX`."""

    endpoint_url: str | None = None
    """Of an S3-compatible server that is not the cloud's own."""
    region: str | None = None
    """Of the bucket."""
    allow_http: bool = False
    """Permit connections without TLS; `http://` URLs do."""
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Further settings by obstore's names, such as `skip_signature`; no secrets."""
    max_retries: int = Field(default=2, ge=0, le=10)
    """Of one request, within the deadline."""
    connect_seconds: PositiveInt = 5
    """For one attempt to connect."""


class ObjectStore(Store):
    """Objects in a bucket. Requests run on an event loop of the store's own thread and are dropped at the deadline."""

    pins = False
    evicts = False
    concurrent_reads = 8

    def __init__(self, url: str, options: ObjectOptions | None = None) -> None:
        super().__init__()
        self._name = redacted(url)
        self._obstore = _client()
        self._errors = import_module("obstore.exceptions")
        self._bucket = _bucket(url, options or ObjectOptions())
        self.read_only = split_url(url).scheme in ("http", "https")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sparkv-objects", daemon=True)
        self._thread.start()

    def _find(self, keys: Sequence[str], deadline: Deadline) -> list[Found]:
        async def sizes() -> list[Found]:
            gate = asyncio.Semaphore(HEADS_AT_ONCE)

            async def size(key: str) -> Found:
                async with gate:
                    meta = await self._or_none(self._obstore.head_async, _path(key))
                return None if meta is None else (int(meta["size"]), None)

            return await asyncio.gather(*(size(key) for key in keys))

        return self._run(sizes(), "acquire", deadline)

    def _fetch(self, handle: None, key: str, begin: int, end: int, deadline: Deadline) -> Buffer | None:
        if begin == end:
            return b""
        request = self._or_none(self._obstore.get_range_async, _path(key), start=begin, end=end)
        data: Any = self._run(request, f"read of {key}", deadline)
        return None if data is None else memoryview(data)

    def _forget(self, handle: None) -> None:
        """Nothing was pinned."""

    def _write(self, key: str, parts: Sequence[memoryview], num_bytes: int, deadline: Deadline) -> bool:
        async def write() -> bool:
            if await self._or_none(self._obstore.head_async, _path(key)) is not None:
                return False
            multipart = num_bytes > MULTIPART_BYTES
            # two writers may both come this far: each writes the same bytes, and either object is whole
            await self._obstore.put_async(
                self._bucket,
                _path(key),
                iter(parts) if multipart else b"".join(parts),
                use_multipart=multipart,
                chunk_size=MULTIPART_BYTES,
            )
            return True

        return self._run(write(), "put", deadline)

    def _remove(self, key: str, deadline: Deadline) -> None:
        self._run(self._or_none(self._obstore.delete_async, _path(key)), "discard", deadline)

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _or_none(self, request: Callable[..., Any], path: str, **details: Any) -> Any:
        """The answer of a request, None if there is no such object."""
        try:
            return await request(self._bucket, path, **details)
        except (FileNotFoundError, self._errors.NotFoundError):
            return None

    def _run(self, work: Coroutine[Any, Any, Answer], doing: str, deadline: Deadline) -> Answer:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(deadline.remaining())
        except (FutureTimeoutError, CancelledError) as error:
            future.cancel()
            raise StoreTimeoutError(f"{self._name}: {doing}: not done within {deadline.max_seconds:g} s") from error
        except (self._errors.BaseError, OSError) as error:
            raise StoreError(f"{self._name}: {doing}: {_first_line(error)}") from error


def _path(key: str) -> str:
    return f"{key[:2]}/{key}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:400]


def _client() -> Any:
    try:
        return import_module("obstore")
    except ImportError as error:
        raise MissingExtraError("object stores need the obstore client; pip install 'gainful[object-store]'") from error


def _bucket(url: str, options: ObjectOptions) -> Any:
    parts = split_url(url)
    if "@" in parts.netloc or parts.query:
        raise ConfigError(
            f"{redacted(url)}: credentials do not belong into the URL; set the environment of the cloud's tools"
        )
    over_http = parts.scheme in ("http", "https")
    client = {
        "allow_http": options.allow_http or parts.scheme == "http",
        "connect_timeout": timedelta(seconds=options.connect_seconds),
        "timeout": timedelta(hours=1),  # deadlines are shorter, and are ours
    }
    settings = dict(options.settings)
    settings |= {"endpoint": options.endpoint_url} if options.endpoint_url else {}
    settings |= {"region": options.region} if options.region else {}
    store = import_module("obstore.store")
    retry = {"max_retries": options.max_retries, "retry_timeout": timedelta(minutes=1)}
    try:
        if over_http:
            return store.HTTPStore.from_url(url, client_options=client, retry_config=retry)
        return store.from_url(url, config=settings, client_options=client, retry_config=retry)
    except (import_module("obstore.exceptions").BaseError, ValueError, TypeError) as error:
        raise ConfigError(f"{redacted(url)}: {_first_line(error)}") from error
