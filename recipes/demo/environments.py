"""What the parts of the demo are run with: one environment per host, since no single one can hold all hosts."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("llamaindex", "vllm")
"""Beside verl, which runs the demo itself."""
STORE_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


class MissingEnvironmentError(RuntimeError):
    """Something that a part of the demo needs is not there; the message says what, and which command makes it."""


def python_of(host: str) -> Path:
    """The interpreter of a host's environment."""
    return ROOT / ".venvs" / host / "bin/python"


def require_all() -> None:
    """Called before anything is trained.

    Raises:
        MissingEnvironmentError: A host's environment, or the program that the store is, is not there.
    """
    for host in HOSTS:
        if not python_of(host).exists():
            raise MissingEnvironmentError(
                f"demo: expected {python_of(host)}, found none; run make env-{host} (make demo does)"
            )
    if shutil.which("redis-server", path=STORE_PATH) is None:
        raise MissingEnvironmentError(
            "demo: expected the program redis-server, found none; run make store-servers (make demo does)"
        )
