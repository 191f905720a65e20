"""A Ray cluster of one or two machines, started as on real ones: `ray start --head`, then `ray start --address`."""

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from two_hosts import CABLE, Host
from two_hosts import PATH as SEARCH_PATH

PORT = 6379
START_SECONDS = 180.0
"""Ray takes ten on idle cores, and far more beside other programs."""
LOOK_SECONDS = 0.2
OBJECT_STORE_BYTES = 200_000_000
NUM_CPUS_PER_RANK = 5
"""Logical. verl asks for 3 a training process, in one placement group a node: 5 hold one group and never two."""


class ClusterError(RuntimeError):
    """Ray did not come up; the message holds the end of its log."""


@dataclass(frozen=True)
class Node:
    """One machine of the cluster, and what its `ray start` is given."""

    host: Host
    num_ranks: int
    """Training processes on it; verl counts them as Ray's "GPU"."""
    environment: Mapping[str, str]
    """verl's processes on this node inherit it; of the shell that starts the training nothing arrives there."""
    folder: Path
    """Ray's own files; a short path, since sockets are among them."""
    log_file: Path

    def command(self, head: str | None) -> list[str]:
        """`ray start` of the head, or of a node that joins the one at address `head`."""
        place = ("--head", f"--port={PORT}", "--include-dashboard=false") if head is None else (f"--address={head}",)
        return [
            *(str(Path(sys.executable).with_name("ray")), "start", *place),
            *(f"--node-ip-address={self.host.address}", f"--temp-dir={self.folder}"),
            *(f"--num-cpus={NUM_CPUS_PER_RANK * self.num_ranks}", f"--num-gpus={self.num_ranks}"),
            *(f"--object-store-memory={OBJECT_STORE_BYTES}", "--disable-usage-stats", "--block"),
        ]


def address_at(head: Host) -> str:
    """Where the cluster is joined."""
    return f"{head.address}:{PORT}"


def write_token(file: Path) -> None:
    """A new secret, readable by its owner alone: who does not have it cannot join, nor start anything."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))


def environment_for(environment: Mapping[str, str], *, head: Host, token_file: Path) -> dict[str, str]:
    """A run's environment, with what a process needs to find the cluster, and gloo its device."""
    return {
        **environment,
        "PATH": SEARCH_PATH,
        "RAY_ADDRESS": address_at(head),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "GLOO_SOCKET_IFNAME": CABLE,
    }


def without_plugins(environment: Mapping[str, str]) -> dict[str, str]:
    """As on a node where nothing is installed beside verl: it looks at no entry point."""
    return {**environment, "VERL_USE_EXTERNAL_PLUGINS": "none"}


def start(nodes: Sequence[Node]) -> None:
    """Start Ray on every node, the head first. It ends with the hosts.

    Raises:
        ClusterError: The head ended, or did not listen in time.
    """
    head = nodes[0]
    for node in nodes:
        node.log_file.parent.mkdir(parents=True, exist_ok=True)
        node.folder.mkdir(parents=True)
        command = node.command(None if node is head else address_at(head.host))
        process = node.host.start(*command, log=node.log_file, environment=node.environment)
        if node is head:
            wait_for(lambda: _listens(head.host), process, node.log_file, "a head that listens")


def wait_for(done: Callable[[], bool], process: "subprocess.Popen[bytes]", log_file: Path, what: str) -> None:
    """Ask `done` until it says so.

    Raises:
        ClusterError: `process` ended before, or it took longer than START_SECONDS.
    """
    until = time.monotonic() + START_SECONDS
    while not done():
        if process.poll() is not None or time.monotonic() > until:
            state = "still runs" if process.poll() is None else f"ended with status {process.returncode}"
            end = "\n".join(log_file.read_text(errors="replace").splitlines()[-15:])
            raise ClusterError(
                f"verl_two_nodes: expected {what} within {START_SECONDS:g} s, found none; "
                f"the process {state}, and {log_file} ends:\n{end}"
            )
        time.sleep(LOOK_SECONDS)


def _listens(host: Host) -> bool:
    with host.entered():
        try:
            socket.create_connection((host.address, PORT), timeout=1.0).close()
        except OSError:
            return False
    return True
