"""LMCache where it can be had: a folder of its own, its server beside the engine, and what makes an engine use both.

Its requirements contradict those of vLLM for CPUs, so it is installed without them, apart from the environment, into a
folder that only its server and its engine see.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import llm_arguments
from settings import Setup

VERSION = "0.5.6"
PACKAGES = (
    f"lmcache=={VERSION}",
    "aiofile==3.12.3",
    "aiofiles==25.1.0",
    "caio==0.12.10",
    "sortedcontainers==2.4.0",
    "opentelemetry-exporter-prometheus==0.66b2",
)
"""Everything else that its server imports is in the environment of vLLM."""
CHUNK_TOKENS = 128
"""As many as a block of vLLM on a CPU, and a chunk of ours."""
START_SECONDS = 180.0


class PeerError(RuntimeError):
    """LMCache cannot be installed or started; the message says what it said, and where the rest stands."""


@dataclass(frozen=True)
class Server:
    """Where engines find it."""

    port: int
    log_file: Path


def folder_of(out: Path) -> Path:
    return out / f"lmcache-{VERSION}"


def install_command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]


def install(folder: Path) -> None:
    """Unless it is there. A folder that is there is whole: it gets its name at the end."""
    if folder.exists():
        return
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(install_command(partial), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"LMCache was not installed; pip ended with {done.returncode}: {done.stderr.strip()[-600:]}")
    partial.rename(folder)


def how_to_install(out: Path) -> str:
    """Said in its place where it is not there."""
    return f"not measured: it is not in {folder_of(out)}; --install-peers installs it there, without its requirements"


def variables(folder: Path) -> dict[str, str]:
    """Of its server and its engine."""
    paths = [str(folder.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "LMCACHE_TRACK_USAGE": "false",
        "LMCACHE_DISABLE_BANNER": "1",
        "LMCACHE_LOG_LEVEL": "WARNING",
    }


def engine_arguments(setup: Setup, model: Path, server: Server, folder: Path) -> dict[str, Any]:
    """What `vllm.LLM` is made with: steps as in `chunked`, vLLM's own scheduler, LMCache's connector."""
    arguments = llm_arguments("chunked", setup, model, "memory://", folder)
    del arguments["scheduler_cls"]
    arguments["kv_transfer_config"] = {
        "kv_connector": "LMCacheMPConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"lmcache.mp.host": "tcp://localhost", "lmcache.mp.port": server.port},
    }
    return arguments


def server_arguments(port: int, http_port: int, host: str, store_port: int) -> list[str]:
    """Its defaults, but: this transfer mode, the only one without a GPU, through shared memory; the store as L2; and no
    copy left in L1, or nothing would cross the link.
    """
    store = {"type": "resp", "host": host, "port": store_port}
    pairs = {
        "--host": "localhost",
        "--port": str(port),
        "--http-port": str(http_port),
        "--chunk-size": str(CHUNK_TOKENS),
        "--l1-size-gb": "1",
        "--eviction-policy": "LRU",
        "--supported-transfer-mode": "engine_driven",
        "--shm-name": f"sparkv-bench-{port}",
        "--l2-store-policy": "skip_l1",
        "--l2-adapter": json.dumps(store),
    }
    return [*(part for pair in pairs.items() for part in pair), "--disable-observability"]


@contextlib.contextmanager
def running_server(folder: Path, host: str, store_port: int, log_file: Path) -> Iterator[Server]:
    """Beside the engine, its L2 in the Redis at `host`; ends with the block."""
    port, http_port = _free_port(), _free_port()
    command = (sys.executable, "-m", "lmcache.cli.main", "server", *server_arguments(port, http_port, host, store_port))
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **variables(folder)}, start_new_session=True
        )
    try:
        _wait_until_healthy(process, http_port, log_file)
        yield Server(port, log_file)
    finally:
        _end(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], http_port: int, log_file: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{http_port}/healthcheck", timeout=5).close()
            return
        time.sleep(0.2)
    tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-15:])
    raise PeerError(
        f"LMCache's server has ended or needs over {START_SECONDS:g} s to start; {log_file} ends with:\n{tail}"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """With time to give its shared memory back."""
    process.terminate()
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
