"""Store URLs: `scheme://where`. What they may carry as secrets is never shown."""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from gainful.config import Options, from_mapping
from gainful.errors import ConfigError
from gainful.sparkv.stores.base import Store

__all__ = ["open_file", "open_memory", "open_object_store", "open_redis", "open_store", "redacted", "split_url"]

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def open_store(url: str, options: Mapping[str, Any] | Options | None = None) -> Store:
    """The store behind a URL; schemes come from the catalogue, third parties' among them.

    Args:
        url: `file:///var/cache/kv`, `memory://`, `rediss://cache:6380/0`, `s3://bucket/prefix`. In user and password
            `${NAME}` stands for an environment variable, since command lines are seen by everybody on a machine:
            `rediss://kv:${KV_PASSWORD}@cache:6380/0`.
        options: The option set of the scheme, or a mapping.

    Raises:
        ConfigError: The URL or an option is wrong, or a variable is not set; a password in the URL is not repeated.
        UnknownNameError: No plug-in offers the scheme.
        MissingExtraError: The client is not installed.
        StoreError: The folder cannot be used. Servers are first talked to when they are needed.
    """
    from gainful.catalog import catalog  # pluggy and all plug-ins: only when a store is chosen by name

    parts = split_url(url)
    spec = catalog().store(parts.scheme)
    config = spec.config_cls or Options
    store: Store = spec.factory(_filled(url), from_mapping(config, options, where="store options", owner=redacted(url)))
    return store


def _filled(url: str) -> str:
    """The URL with the values of its variables, %-escaped as passwords in URLs are."""

    def value(match: re.Match[str]) -> str:
        if not os.environ.get(match[1]):
            raise ConfigError(f"{redacted(url)}: environment variable {match[1]} is empty or not set; export it")
        return quote(os.environ[match[1]], safe="")

    parts = split_url(url)
    user, _, host = parts.netloc.rpartition("@")
    filled = _VARIABLE.sub(value, user)
    return url if filled == user else parts._replace(netloc=f"{filled}@{host}").geturl()


def split_url(url: str) -> SplitResult:
    """Parts of a store URL; `ConfigError` without the URL itself, which may hold a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises for a port that is no number
    except (ValueError, AttributeError, TypeError):
        raise ConfigError("store URL cannot be read: expected scheme://where, with %-escapes in passwords") from None
    if not parts.scheme or "://" not in url:
        raise ConfigError("store URL must begin with scheme://, such as file:///var/cache/kv or memory://")
    return parts


def redacted(url: str) -> str:
    """The URL without user, password, query and fragment, for logs and messages."""
    parts = split_url(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}"


def open_file(url: str, options: Any) -> Store:
    """`file:///FOLDER`."""
    from urllib.request import url2pathname

    from gainful.sparkv.stores.file import FileStore

    parts = split_url(url)
    if parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
        raise ConfigError(f"{redacted(url)}: a file store needs an absolute folder, as in file:///var/cache/kv")
    return FileStore(url2pathname(parts.path), options)


def open_memory(url: str, options: Any) -> Store:
    """`memory://NAME` or `memory://`."""
    from gainful.sparkv.stores.memory import MemoryStore

    parts = split_url(url)
    return MemoryStore(parts.netloc + parts.path, options)


def open_redis(url: str, options: Any) -> Store:
    """`redis://` and `rediss://`."""
    from gainful.sparkv.stores.redis import RedisStore

    return RedisStore(url, options)


def open_object_store(url: str, options: Any) -> Store:
    """`s3://`, `gs://`, `az://`, `http://` and `https://`."""
    from gainful.sparkv.stores.s3 import ObjectStore

    return ObjectStore(url, options)
