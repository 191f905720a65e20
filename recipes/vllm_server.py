"""A real vLLM server on a CPU, from the environment that has vLLM, for clients in theirs. Used by tests and recipes.

    with start(folder, "--max-num-seqs", "8") as server:
        server.metric("generation_tokens_total")  # what it really wrote, whoever asked

Only the standard library, so that any environment can import it.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PYTHON", "VllmServer", "make_tiny_model", "start"]

REPOSITORY = Path(__file__).parents[1]
PYTHON = REPOSITORY / ".venvs/vllm/bin/python"
"""Made by `make env-vllm`."""
START_SECONDS = 240
STOP_SECONDS = 30

_MAKE_MODEL = REPOSITORY / "tests/fixtures/tiny_vllm/make_model.py"
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_PLUGINS": "",
}
_OPTIONS = ("--dtype", "float32", "--enforce-eager", "--served-model-name", "tiny")


class VllmServer:
    """The running server as a client sees it. Its model is called `tiny`."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.api_base = f"{self.base}/v1"
        self.process, self.log = process, log

    def read(self, path: str) -> str:
        """The text at `path`.

        Raises:
            OSError: The server does not answer.
        """
        with urllib.request.urlopen(f"{self.base}{path}", timeout=10) as response:  # noqa: S310
            return response.read().decode()

    def metric(self, name: str) -> float:
        """Sum of a counter or gauge of vLLM over its labels, without the prefix `vllm:`."""
        lines = self.read("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"vllm:{name}{{"))

    def wait_for(self, name: str, value: float, seconds: float = 20) -> None:
        """Until a metric has a value.

        Raises:
            TimeoutError: It did not get there in time.
        """
        deadline = time.monotonic() + seconds
        while (found := self.metric(name)) != value:
            if time.monotonic() > deadline:
                raise TimeoutError(f"vllm:{name}: expected {value} within {seconds} s, found {found}")
            time.sleep(0.05)

    def kill(self) -> None:
        """All its processes at once, as when the machine is out of memory."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Let it end by itself, and make sure that nothing of it is left."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


def make_tiny_model(folder: Path) -> Path:
    """A Llama of random weights, one token a byte. It writes noise until it is stopped.

    Raises:
        CalledProcessError: The environment with vLLM cannot make it.
    """
    subprocess.run([PYTHON, _MAKE_MODEL, folder], check=True, env=_environment())
    return folder


@contextmanager
def start(model: Path, *options: str) -> Iterator[VllmServer]:
    """A server for the time of a `with`, on a free port of the loopback; its log lies beside the model.

    Args:
        model: Folder of weights and tokenizer.
        options: Further ones of `vllm serve`.

    Raises:
        RuntimeError: It ended, or did not get ready in time; holds the end of its log.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--host", "127.0.0.1", "--port", str(port), *_OPTIONS, *options]
    log = model.parent / f"vllm_{port}.log"
    with log.open("w") as out:
        # a session of its own: killed, it takes its workers with it
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
        )
    server = VllmServer(port, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        server.stop()


def _wait_until_ready(server: VllmServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if server.process.poll() is not None:
            raise RuntimeError(f"the vLLM server ended while it started:\n{server.log.read_text()[-3000:]}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"no vLLM server after {START_SECONDS} s:\n{server.log.read_text()[-3000:]}")
        try:
            server.read("/health")
            return
        except OSError:
            time.sleep(0.5)


def _environment() -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **_ENVIRONMENT}
