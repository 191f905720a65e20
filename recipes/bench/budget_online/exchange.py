"""One request to a model: from the store if it was ever answered, else paid for under the cap of all runs."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from records import Answered, Failed, content_hash, now
from store import Store
from till import Hold, Till

from gainful.errors import GainfulError, InputError
from gainful_llamaindex.adapt import usage_of

MAX_RESPONSE_BYTES = 8 * 2**20
PAUSES_SECONDS = (1.0, 4.0, 16.0)
"""Before another attempt (ours)."""
LONGEST_PAUSE_SECONDS = 60.0
_TRY_AGAIN = (408, 409, 429)
_KEY_REFUSED = (401, 403)


class ServerError(GainfulError):
    """The server did not answer a request, again and again."""


class NotKeptError(GainfulError):
    """The store has no answer to a request, and nothing may be asked."""


class StoppedError(GainfulError):
    """Another run failed, or somebody interrupted: nothing more is sent."""


@dataclass
class Exchange:
    """Shared by all runs of a command. Without a client, nothing is ever sent."""

    store: Store
    till: Till
    client: httpx.Client | None = None
    secret: str = ""
    """The key. It is taken out of whatever a server sends back."""
    pause: Callable[[float], None] = time.sleep
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set, nothing more is sent."""
    num_sent: int = 0
    _turns: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: httpx.Request) -> Answered:
        """The stored answer, or a new one. The same request from two threads is paid for once.

        Raises:
            CapReachedError, ServerError, NotKeptError, StoppedError: There is no answer; the run must not go on.
            InputError: A request without a cap, or one whose answer may be another next time.
        """
        body = check_request(request)
        key = content_hash(body)
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            return self.store.answer(key) or self._paid(key, body, request)

    def _paid(self, key: str, body: dict[str, Any], request: httpx.Request) -> Answered:
        if self.client is None:
            raise NotKeptError(
                f"store {self.store.path}: no answer to request {key[:12]}; the run was not finished, or code, "
                "constants or data have changed since"
            )
        for pause in (*PAUSES_SECONDS, None):
            if self.stop.is_set():
                raise StoppedError("the runs were stopped")
            with self.till.holding(len(request.read()), cap_of(body)) as hold:
                kept, trouble, asked_for = self._attempt(key, body, request, hold)
            if kept is not None:
                return kept
            if pause is None or not trouble.again:
                raise ServerError(trouble.text)
            self.pause(max(pause, asked_for))
        raise AssertionError("unreachable")

    def _attempt(
        self, key: str, body: dict[str, Any], request: httpx.Request, hold: Hold
    ) -> tuple[Answered | None, "_Trouble", float]:
        """One request on the wire, with a line before it and a line after it."""
        attempt = self.store.ask(key, body, hold.micros)
        start = time.perf_counter()
        try:
            with self._lock:
                self.num_sent += 1
            status, text, asked_for = self._send(request)
        except (httpx.HTTPError, _TooLongError) as error:
            trouble = _Trouble(f"{type(error).__name__} on the way to the server", again=True)
            return self._failed(attempt, hold.settle(None), trouble), trouble, 0.0
        seconds = round(time.perf_counter() - start, 4)
        if status != httpx.codes.OK:
            trouble = _refused(status, text)
            # what a server turns down it does not bill; what breaks in it, it may
            charged = hold.release() if status < httpx.codes.INTERNAL_SERVER_ERROR else hold.settle(None)
            return self._failed(attempt, charged, trouble), trouble, asked_for
        response = _parsed(text)
        if response is None:
            trouble = _Trouble("the server's response is no chat completion", again=False)
            return self._failed(attempt, hold.settle(None), trouble), trouble, 0.0
        charged = hold.settle(usage_of(response))
        kept = Answered(attempt=attempt, micros=charged, seconds=seconds, at=now(), response=response)
        self.store.end(kept)
        return kept, _Trouble("", again=False), 0.0

    def _failed(self, attempt: int, micros: int, trouble: "_Trouble") -> None:
        self.store.end(Failed(attempt=attempt, micros=micros, what=trouble.text))

    def _send(self, request: httpx.Request) -> tuple[int, str, float]:
        """Status, text without the key, and the pause that the server asks for."""
        assert self.client is not None
        response = self.client.send(request, stream=True)
        try:
            raw = bytearray()
            for part in response.iter_bytes():
                raw += part
                if len(raw) > MAX_RESPONSE_BYTES:
                    raise _TooLongError
        finally:
            response.close()
        text = raw.decode(errors="replace")
        text = text.replace(self.secret, "[key]") if self.secret else text
        return response.status_code, text, _asked_for(response)


class _TooLongError(Exception):
    """More than any chat completion needs."""


@dataclass(frozen=True)
class _Trouble:
    text: str
    again: bool


def check_request(request: httpx.Request) -> dict[str, Any]:
    """The body. Only what is bounded and repeatable goes out."""
    body = json.loads(request.read())
    if not isinstance(body, dict) or not isinstance(cap_of(body), int):
        raise InputError("a request without max_tokens: what it may cost has no bound")
    if body.get("temperature") != 0:
        raise InputError(
            f"a request at temperature {body.get('temperature')}, expected 0: a store answers the same again"
        )
    if body.get("stream") or body.get("n", 1) != 1:
        raise InputError("a request that streams, or for several completions: the store keeps one whole response")
    return body


def cap_of(body: dict[str, Any]) -> Any:
    return body.get("max_tokens", body.get("max_completion_tokens"))


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        response = json.loads(text)
        response["choices"][0]["message"]
    except (ValueError, LookupError, TypeError):
        return None
    return response


def _refused(status: int, text: str) -> _Trouble:
    """Never the server's words: some repeat a part of the key."""
    again = status in _TRY_AGAIN or status >= httpx.codes.INTERNAL_SERVER_ERROR
    code = _code(text)
    hint = "; is the key in the environment right?" if status in _KEY_REFUSED else ""
    return _Trouble(f"the server answered {status}{f' ({code})' if code else ''}{hint}", again=again)


def _code(text: str) -> str:
    try:
        error = json.loads(text)["error"]
        code = str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return code if code.replace("_", "").isalnum() and len(code) <= 64 else ""


def _asked_for(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(LONGEST_PAUSE_SECONDS, float(value)) if value.isdecimal() else 0.0
