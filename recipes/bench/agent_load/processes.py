"""The service as a process of its own, and what of it can be seen from outside."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ServiceProcess", "start_service"]

START_SECONDS = 180
STOP_SECONDS = 30
HERE = Path(__file__).parent


class ServiceProcess:
    """A running service."""

    def __init__(self, base: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.base, self.process, self.log = base, process, log

    def read(self, path: str) -> str:
        """The text at `path`."""
        with urllib.request.urlopen(f"{self.base}{path}", timeout=10) as response:  # noqa: S310
            return response.read().decode()

    def metric(self, line_start: str) -> float:
        """Sum of the metrics whose lines begin so, without the prefix `gainful_agent_`."""
        lines = [line for line in self.read("/metrics").splitlines() if line.startswith(f"gainful_agent_{line_start}")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def spent(self, axis: str) -> float:
        """What all runs up to now took."""
        return self.metric(f'spent_total{{axis="{axis}"}}')

    @property
    def num_searches(self) -> int:
        """Calls that the search tool itself has counted."""
        return int(self.read("/searches"))

    def cpu_seconds(self) -> float:
        """User and system time of the process up to now."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_until_idle(self, seconds: float = 30) -> bool:
        """True once nothing runs or waits."""
        deadline = time.monotonic() + seconds
        while self.metric("running") + self.metric("waiting"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@contextmanager
def start_service(folder: Path, api_base: str, *options: str) -> Iterator[ServiceProcess]:
    """The service of this benchmark for the time of a `with`, on a free port.

    Raises:
        RuntimeError: It did not get ready; holds the end of its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, HERE / "service_process.py", "--api-base", api_base, "--model", "tiny"]
    command += ["--port", str(port), *options]
    log = folder / f"service_{port}.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        service = ServiceProcess(f"http://127.0.0.1:{port}", process, log)
        _wait_until_ready(service)
        yield service
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait_until_ready(service: ServiceProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if service.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the service did not start:\n{service.log.read_text()[-3000:]}")
        try:
            service.read("/health")
            return
        except OSError:
            time.sleep(0.2)
