"""Real servers: redis-server and nginx from the system's packages, an S3-compatible one from moto."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

EXPECTED = "stores" in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")


def needed(program, package):
    """The program's path. Without it tests are skipped with the command to run, or fail if they are expected to run."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        message = f"{program} is not installed: apt-get install --yes {package} (make store-servers)"
        (pytest.fail if EXPECTED else pytest.skip)(message)
    return path


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"{process.args} ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{process.args} does not listen on port {port}")


@contextmanager
def serving(port, *command, **variables):
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | variables
    )
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis_server(port, *settings):
    program = needed("redis-server", "redis-server")
    with serving(port, program, "--port", str(port), "--save", "", "--appendonly", "no", *settings) as process:
        yield process


@pytest.fixture(scope="session")
def redis_url():
    port = free_port()
    with redis_server(port, "--requirepass", "hunter2"):
        yield f"redis://:hunter2@127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def s3_options():
    """Options of s3://kv-chunks on a server of its own; credentials come from the environment, as in a cloud."""
    port = free_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "tester")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with serving(port, sys.executable, "-m", "moto.server", "-p", str(port)):
        endpoint = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/kv-chunks", method="PUT"), timeout=20)  # noqa: S310
        yield {"endpoint_url": endpoint, "allow_http": True, "region": "us-east-1"}
    patch.undo()


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/tmp; proxy_temp_path {folder}/tmp; fastcgi_temp_path {folder}/tmp;
  uwsgi_temp_path {folder}/tmp; scgi_temp_path {folder}/tmp;
  server {{ listen 127.0.0.1:{port}; root {folder}/kv; }}
}}
"""


@pytest.fixture
def nginx(tmp_path):
    """A folder, and the URL under which nginx serves it with byte ranges."""
    program = needed("nginx", "nginx-light")
    port = free_port()
    (tmp_path / "kv").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    with serving(port, program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")):
        yield tmp_path / "kv", f"http://127.0.0.1:{port}"
