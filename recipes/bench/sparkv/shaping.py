"""A redis-server behind a link whose rate and round trip are set while requests run.

`namespace` is real: the server runs in a network namespace, and the kernel shapes what leaves it (netem, or tbf where
the kernel has no netem, which can set no round trip). `proxy` needs no rights and stands in between.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Kind = Literal["netem", "tbf", "proxy"]
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
BURST_BYTES, BURST_SECONDS = 64 << 10, 0.001
"""The larger one may pass at once; the kernel looks at a fast link about so often."""
QUEUE_BYTES = 256 << 10
"""Bytes that wait in the kernel's queue; short, or what is in it would come late after a drop."""
DEAD_KBIT = 1
"""The kernel knows no rate of nothing: a packet takes minutes."""


class LinkError(RuntimeError):
    """The machine cannot make the link that was asked for; the message says what is missing."""


class Link(Protocol):
    """Between the engines and the store."""

    kind: Kind
    host: str
    port: int

    def shape(self, mbit: float, rtt_ms: float) -> None:
        """Mbit/s from now on, 0 for a dead link."""

    def received_bytes(self) -> int:
        """From the store so far, protocol overhead included."""


@dataclass
class NamespaceLink:
    """The end of a veth pair in a namespace, shaped by tc."""

    kind: Kind
    namespace: str
    outer: str
    """This side of the pair."""
    device: str
    """The side in the namespace."""
    host: str
    port: int = 6379

    def shape(self, mbit: float, rtt_ms: float) -> None:
        tc = ("ip", "netns", "exec", self.namespace, "tc", "qdisc", "replace", "dev", self.device, "root")
        rate = f"{round(mbit * 1000)}kbit" if mbit else f"{DEAD_KBIT}kbit"
        if self.kind == "netem":
            _run(*tc, "netem", "rate", rate, "delay", f"{rtt_ms}ms", "limit", "10000")
        elif rtt_ms:
            raise LinkError("tbf sets no round trip, and this kernel has no netem; use --link proxy")
        else:
            _run(
                *tc,
                "tbf",
                "rate",
                rate,
                "burst",
                str(max(BURST_BYTES, round(mbit * 1e6 / 8 * BURST_SECONDS))),
                "limit",
                str(QUEUE_BYTES),
            )

    def received_bytes(self) -> int:
        return int(Path(f"/sys/class/net/{self.outer}/statistics/rx_bytes").read_text())


@dataclass
class ProxyLink:
    """`proxy.py` in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    host: str = "127.0.0.1"
    kind: Kind = "proxy"

    def shape(self, mbit: float, rtt_ms: float) -> None:
        self._ask(f"{mbit} {rtt_ms}")

    def received_bytes(self) -> int:
        return self._ask("")

    def _ask(self, order: str) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise LinkError("the proxy has ended; see its output above")
        return int(answer)


def missing() -> list[str]:
    """What keeps this machine from the real link, with the remedy; empty if nothing does."""
    found = []
    for program, package in (("ip", "iproute2"), ("tc", "iproute2")):
        if shutil.which(program, path=PATH) is None:
            found.append(f"{program} is not installed: apt-get install --yes {package}")
    if os.geteuid() != 0:
        found.append("network namespaces need root")
    return found


def choose_kind(wanted: Literal["auto"] | Kind, needs_rtt: bool) -> Kind:
    """What `auto` means here; raises `LinkError` if the machine cannot do what is asked for."""
    if wanted == "proxy":
        return "proxy"
    lacks = missing()
    if not lacks:
        can = _qdiscs()
        if wanted in can:
            return wanted
        if wanted == "auto" and "netem" in can:
            return "netem"
        if wanted == "auto" and "tbf" in can and not needs_rtt:
            return "tbf"
        lacks = [f"the kernel shapes with {', '.join(can) or 'nothing'}" + (", none sets a round trip" if can else "")]
    if wanted == "auto":
        return "proxy"
    raise LinkError(f"--link {wanted}: {'; '.join(lacks)}; use --link proxy")


@contextlib.contextmanager
def open_link(kind: Kind) -> Iterator[Link]:
    """A redis-server of its own behind a link; both are gone afterwards."""
    server = shutil.which("redis-server", path=PATH)
    if server is None:
        raise LinkError("redis-server is not installed: make store-servers")
    command = (server, "--save", "", "--appendonly", "no", "--protected-mode", "no")
    with _behind_proxy(command) if kind == "proxy" else _in_namespace(command, kind) as link:
        yield link


@contextlib.contextmanager
def _behind_proxy(command: Sequence[str]) -> Iterator[Link]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = Path(__file__).with_name("proxy.py")
    with _running(*command, "--bind", "127.0.0.1", "--port", str(port)):
        _wait_for("127.0.0.1", port)
        with _running(sys.executable, str(proxy), "127.0.0.1", str(port), piped=True) as process:
            assert process.stdout
            yield ProxyLink(process, int(process.stdout.readline()))


@contextlib.contextmanager
def _in_namespace(command: Sequence[str], kind: Kind) -> Iterator[Link]:
    with _namespace() as (name, outer, inner, address):
        link = NamespaceLink(kind, name, outer, inner, address)
        with _running("ip", "netns", "exec", name, *command, "--bind", address, "--port", str(link.port)):
            _wait_for(address, link.port)
            yield link


@contextlib.contextmanager
def _namespace() -> Iterator[tuple[str, str, str, str]]:
    """Name, the device here, the device inside, and the address inside."""
    mark = os.getpid() % 16384
    name, outer, inner = f"sparkv{mark}", f"sk{mark}a", f"sk{mark}b"
    net = f"10.{91 + mark // 8192}.{mark // 32 % 256}.{mark % 32 * 8}"
    first, second = (net.rsplit(".", 1)[0] + f".{int(net.rsplit('.', 1)[1]) + one}" for one in (1, 2))
    inside = ("ip", "netns", "exec", name)
    _run("ip", "netns", "add", name)
    try:
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _run("ip", "addr", "add", f"{first}/30", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        _run(*inside, "ip", "addr", "add", f"{second}/30", "dev", inner)
        _run(*inside, "ip", "link", "set", inner, "up")
        yield name, outer, inner, second
    finally:
        subprocess.run(("ip", "link", "del", outer), env=_environment(), check=False, stderr=subprocess.DEVNULL)
        _run("ip", "netns", "del", name)


def _qdiscs() -> list[Kind]:
    """Those that the kernel has; asked by adding them in a namespace."""
    with _namespace() as (name, outer, inner, address):
        kinds: list[Kind] = []
        for kind in ("netem", "tbf"):
            try:
                NamespaceLink(kind, name, outer, inner, address).shape(100.0, 0.0)
                kinds.append(kind)
            except LinkError:
                continue
        return kinds


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": PATH}


def _run(*command: str) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinkError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextlib.contextmanager
def _running(*command: str, piped: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    pipe = subprocess.PIPE if piped else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=_environment())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(host: str, port: int) -> None:
    until = time.monotonic() + 20.0
    while True:
        try:
            socket.create_connection((host, port), 0.5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise LinkError(f"redis-server does not answer on {host}:{port}: {error}") from error
            time.sleep(0.05)
