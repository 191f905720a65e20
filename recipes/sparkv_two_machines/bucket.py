"""An S3-compatible server on the first machine: moto's, which keeps objects in memory, for want of a real one here."""

import http.client
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from two_hosts import Host, HostsError

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venvs/stores/bin/python"
"""Made by `make env-stores`."""
PORT = 5000
NAME = "kv-chunks"
WAIT_SECONDS = 30.0


@dataclass
class Bucket:
    """The server and its one bucket; `open_bucket` starts and ends them."""

    first: Host
    folder: Path
    secrets: Mapping[str, str]
    """Environment variables of the servers; this one takes any credentials, and the cloud's own tools' names."""
    process: "Popen[bytes] | None" = None
    keeps = False
    """It comes back empty."""
    name = "an S3-compatible server"
    url = f"s3://{NAME}/sparkv"

    @property
    def options(self) -> dict[str, Any]:
        """`store_options` of the connector."""
        return {"endpoint_url": f"http://{self.first.address}:{PORT}", "allow_http": True, "region": "us-east-1"}

    def settle(self) -> None:
        """There is nobody else to wait for."""

    def kill(self) -> None:
        """The server is gone from one moment to the next."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def recover(self) -> str:
        """Start it again; says what was done."""
        self.start()
        return "the server is started again, and its bucket is empty"

    def start(self) -> None:
        """With its bucket."""
        command = (PYTHON, "-m", "moto.server", "-H", self.first.address, "-p", str(PORT))
        self.process = self.first.start(*command, log=self.folder / "moto.log")
        until = time.monotonic() + WAIT_SECONDS
        while not self._has_made_bucket():
            if self.process.poll() is not None or time.monotonic() > until:
                raise HostsError(f"moto's server does not answer; see {self.folder / 'moto.log'}")
            time.sleep(0.1)

    def _has_made_bucket(self) -> bool:
        with self.first.entered():
            connection = http.client.HTTPConnection(self.first.address, PORT, timeout=5)
            try:
                connection.request("PUT", f"/{NAME}")
                return connection.getresponse().status == http.client.OK
            except OSError:
                return False
            finally:
                connection.close()


@contextmanager
def open_bucket(first: Host, second: Host, folder: Path) -> Iterator[Bucket]:
    """Start it on the first machine; it ends with its machine.

    Raises:
        HostsError: The environment is missing, or the server does not start.
    """
    if not PYTHON.exists():
        raise HostsError(f"expected {PYTHON}, found none; make env-stores")
    bucket = Bucket(first, folder, {"AWS_ACCESS_KEY_ID": "kv", "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24)})
    bucket.start()
    yield bucket
