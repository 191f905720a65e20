"""Two machines on one: network namespaces joined by a cable (a veth pair) whose rate can be set and bytes counted.

    with two_hosts() as (first, second):
        first.start("redis-server", "--bind", first.address, log=Path("redis.log"))
        second.shape(100.0)                 # Mbit/s that leave it
        with second.entered():              # sockets opened here are on the second machine
            socket.create_connection((first.address, 6379))

Each has its own loopback and ports; nothing else can be reached from either. They share files, cores and memory with
the machine they are on. When the block ends, also by an error, Ctrl-C or SIGTERM, all processes in them are ended and
nothing is left. Needs Linux, root and iproute2.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
CABLE = "cable0"
"""The device, on either side."""
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CLONE_NEWNET = 0x40000000
BURST_BYTES, BURST_SECONDS = 64 << 10, 0.001
"""The larger one may pass at once; the kernel looks at a fast cable about so often."""
QUEUE_BYTES = 256 << 10
"""That wait in the kernel's queue before packets are dropped."""
GRACE_SECONDS = 10.0
"""From SIGTERM to SIGKILL at the end."""


class HostsError(RuntimeError):
    """This machine cannot be two; the message says what is missing, and the remedy."""


@dataclass
class Host:
    """One of the two; everything that is started in it ends with it."""

    name: str
    """Of the network namespace."""
    address: str
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def command(self, *command: str | Path) -> list[str]:
        """The same command, in this machine; it becomes the process itself, so its id may be killed."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def start(
        self, *command: str | Path, log: Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a process whose output goes to the end of `log`; `environment` is added to ours."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                self.command(*command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**_environment(), **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the others in order
            )
        self.processes.append(process)
        return process

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run a short command and return its output; raises `HostsError` with what it complained of."""
        return _run(*self.command(*command), environment=environment)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread opens in the block are this machine's, and stay so; other threads are not moved."""
        with open("/proc/thread-self/ns/net") as ours, open(f"/run/netns/{self.name}") as theirs:
            _set_namespace(theirs.fileno())
            try:
                yield
            finally:
                _set_namespace(ours.fileno())

    def shape(self, mbit: float) -> None:
        """Limit what leaves this machine over the cable to so many Mbit/s, headers included."""
        burst = max(BURST_BYTES, round(mbit * 1e6 / 8 * BURST_SECONDS))
        limits = ("rate", f"{round(mbit * 1000)}kbit", "burst", str(burst), "limit", str(QUEUE_BYTES))
        self.run("tc", "qdisc", "replace", "dev", CABLE, "root", "tbf", *limits)

    def received_bytes(self) -> int:
        """Over the cable so far, headers included."""
        return self._count("rx")

    def sent_bytes(self) -> int:
        """Over the cable so far, headers included."""
        return self._count("tx")

    def _count(self, direction: str) -> int:
        found = json.loads(_run("ip", "-n", self.name, "-json", "-stats", "link", "show", "dev", CABLE))
        return int(found[0]["stats64"][direction]["bytes"])

    def pids(self) -> list[int]:
        """Of all processes in this machine, also those that others there have started."""
        return [int(pid) for pid in _run("ip", "netns", "pids", self.name).split()]


@contextlib.contextmanager
def two_hosts(prefix: str = "gainful") -> Iterator[tuple[Host, Host]]:
    """Two machines that reach each other at `ADDRESSES`; several pairs may exist at once.

    Args:
        prefix: Of the namespaces' names; the process id follows, so that `ip netns` shows whose they are.

    Raises:
        HostsError: No root, no iproute2, or the kernel refuses namespaces.
    """
    require_hosts()
    hosts = [Host(f"{prefix}-{os.getpid()}-{side}", address) for side, address in zip("ab", ADDRESSES, strict=True)]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_termination_unwinds())
        for host in hosts:
            _run("ip", "netns", "add", host.name)
            stack.callback(_tear_down, host)
        first, second = hosts
        _run(
            *("ip", "link", "add", CABLE, "netns", first.name),
            *("type", "veth", "peer", "name", CABLE, "netns", second.name),
        )
        for host in hosts:
            _set_up(host)
        yield first, second


def missing() -> list[str]:
    """What keeps this machine from being two, with the remedy; empty if nothing does."""
    found = []
    if sys.platform != "linux":
        return [f"expected Linux, found {sys.platform}; network namespaces are Linux's"]
    if os.geteuid() != 0:
        found.append(f"expected root, found user id {os.geteuid()}; run it with sudo, or as root in a container")
    found += [
        f"expected the program {name}, found none; apt-get install --yes iproute2"
        for name in ("ip", "tc")
        if shutil.which(name, path=PATH) is None
    ]
    return found


def require_hosts() -> None:
    """Raises `HostsError` with all that `missing` finds."""
    if lacks := missing():
        raise HostsError(f"two machines on one: {'; '.join(lacks)}")


def _set_up(host: Host) -> None:
    for words in (
        ("address", "add", f"{host.address}/24", "dev", CABLE),
        ("link", "set", "lo", "up"),
        ("link", "set", CABLE, "up"),
        # nothing is out there, but programs that look up their own address ask for the way out
        ("route", "add", "default", "dev", CABLE),
    ):
        _run("ip", "-n", host.name, *words)


def _tear_down(host: Host) -> None:
    """End what runs in there, politely first; then the namespace goes, and with it the cable."""
    _signal_all(host, signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while _alive(host) and time.monotonic() < until:
        time.sleep(0.05)
    while _alive(host):  # again, for what was forked in between
        _signal_all(host, signal.SIGKILL)
        time.sleep(0.05)
    _run("ip", "netns", "del", host.name)


def _alive(host: Host) -> list[int]:
    for process in host.processes:
        process.poll()  # or it would stay a zombie
    return host.pids()


def _signal_all(host: Host, number: signal.Signals) -> None:
    for pid in host.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def _termination_unwinds() -> Iterator[None]:
    """SIGTERM and SIGHUP leave the block as an exception does, instead of ending us with all that runs."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say so
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _set_namespace(file: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": PATH}


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    everything = {**_environment(), **(environment or {})}
    done = subprocess.run(command, env=everything, capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}"
        raise HostsError(f"{' '.join(command)}: {complaint}")
    return done.stdout
