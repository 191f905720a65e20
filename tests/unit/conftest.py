"""A small server on the loopback interface that does what it is told."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gainful import endpoint as endpoint_module


class Server(ThreadingHTTPServer):
    """Replies with what is in `script`, the last entry again and again: (status, body, headers) or a function."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        entry = server.script[min(len(server.requests), len(server.script) - 1)]
        server.requests.append((self.path, body, dict(self.headers)))
        with suppress(OSError):
            self._reply(*(entry(self, body) if callable(entry) else entry))

    def _reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("content-length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint_module, "PAUSE_SECONDS", 0.0)
    started = Server()
    thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()
