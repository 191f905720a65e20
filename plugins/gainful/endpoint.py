"""One POST of JSON to a server: bounded in time, tries and bytes; keys stay out of messages."""

import json
import os
import time
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from gainful.errors import ConfigError

__all__ = ["CallFailedError", "Endpoint"]

MAX_RESPONSE_BYTES = 4 * 2**20
TRIES = 2
PAUSE_SECONDS = 0.5
_CHUNK_BYTES = 65_536
_WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class CallFailedError(Exception):
    """No usable reply. Callers turn it into a value that says so; it never leaves the core."""

    def __init__(self, message: str, *, timed_out: bool = False, again: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.again = again


class _NoRedirect(HTTPRedirectHandler):
    """A key must not go to another address than the one that was configured."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Endpoint:
    """Where a server is, and how long it may take. At most two tries; redirects are not followed."""

    def __init__(self, base_url: str, *, api_key_env: str | None, timeout_s: float, where: str) -> None:
        """Check the address and fetch the key.

        Raises:
            ConfigError: The address is no http or https one or holds credentials; the variable is not set.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{where}: expected http://host/... or https://host/..., got {base_url!r}")
        if parts.username is not None or parts.password is not None or parts.query:
            raise ConfigError(
                f"{where}: an address must hold no credentials; put the key into an environment variable and name it "
                "in api_key_env"
            )
        self._url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"content-type": "application/json", **_authorization(api_key_env, where)}
        self._opener = _opener(parts.hostname)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the server replies.

        Raises:
            CallFailedError: Two tries failed, or one in a way that another cannot mend.
        """
        for _ in range(TRIES - 1):
            try:
                return self._try(path, body)
            except CallFailedError as error:
                if not error.again:
                    raise
                time.sleep(PAUSE_SECONDS)
        return self._try(path, body)

    def _try(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        request = Request(self._url + path, json.dumps(body).encode(), self._headers, method="POST")  # noqa: S310
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                return _parsed(_read(response, deadline))
        except HTTPError as error:
            with error:
                raise CallFailedError(f"HTTP {error.code}", again=error.code in _WORTH_ANOTHER_TRY) from None
        except TimeoutError:
            raise CallFailedError(f"no reply in {self._timeout_s:g} s", timed_out=True, again=True) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            late = isinstance(reason, TimeoutError)
            raise CallFailedError(f"no reply: {type(reason).__name__}", timed_out=late, again=True) from None


def _authorization(api_key_env: str | None, where: str) -> dict[str, str]:
    if api_key_env is None:
        return {}
    key = os.environ.get(api_key_env, "")
    if not key.isascii() or not key.isprintable() or not key:
        raise ConfigError(
            f"{where}: the environment variable {api_key_env!r} must hold a key; it is not set or unusable"
        )
    return {"authorization": f"Bearer {key}"}


def _opener(host: str) -> OpenerDirector:
    """A proxy is used for other machines only."""
    return build_opener(_NoRedirect, *([ProxyHandler({})] if _is_loopback(host) else []))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(response: HTTPResponse, deadline: float) -> bytes:
    """The body, unless it is too long, or comes so slowly that the deadline passes."""
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise CallFailedError(f"the reply is longer than {MAX_RESPONSE_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise CallFailedError("the reply is no JSON") from None
    if not isinstance(parsed, dict):
        raise CallFailedError(f"the reply must be a JSON object, got {type(parsed).__name__}")
    return parsed
