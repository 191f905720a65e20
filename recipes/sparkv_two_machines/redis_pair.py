"""A Redis primary on the first machine, its replica on the second, and one address that both servers use.

As in a real deployment: TLS, two users with no more rights than they need, real replication, and an address that moves
to whichever machine has the primary (what keepalived or a managed cache's endpoint does).
"""

import hashlib
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from two_hosts import CABLE, PATH, Host, HostsError

ADDRESS = "10.77.0.10"
"""Of the store, wherever it is."""
PORT = 6379
WAIT_SECONDS = 20.0
PREFIX = "gainful:sparkv"
USER_RIGHTS = "-@all +strlen +getrange +set +unlink +info +ping +select"
"""All that the store's client ever sends."""
REPLICA_RIGHTS = "-@all +psync +replconf +ping"


@dataclass
class RedisPair:
    """Primary, replica and address; `open_redis_pair` starts and ends them."""

    first: Host
    second: Host
    folder: Path
    passwords: Mapping[str, str]
    primary: "subprocess.Popen[bytes] | None" = None
    is_replicated: bool = True
    keeps = True
    """What was saved outlives the primary."""
    name = "Redis with a replica"

    @property
    def url(self) -> str:
        """Without the password, which is in the environment."""
        return f"rediss://kv:${{KV_PASSWORD}}@{ADDRESS}:{PORT}/0?ssl_ca_certs={self.folder / 'cert.pem'}"

    @property
    def options(self) -> dict[str, Any]:
        """`store_options` of the connector."""
        return {}

    @property
    def secrets(self) -> Mapping[str, str]:
        """Environment variables of the servers."""
        return {"KV_PASSWORD": self.passwords["kv"]}

    def settle(self) -> None:
        """Wait until the replica has all that the primary has, as long as there are two."""
        if not self.is_replicated:
            return
        until = time.monotonic() + WAIT_SECONDS
        with self._admin(self.first) as primary, self._admin(self.second) as replica:
            while primary.info("replication")["master_repl_offset"] != replica.info("replication")["slave_repl_offset"]:
                if time.monotonic() > until:
                    raise HostsError(f"the replica did not catch up within {WAIT_SECONDS:g} s; see {self.folder}")
                time.sleep(0.05)

    def kill(self) -> None:
        """The primary is gone from one moment to the next."""
        assert self.primary
        self.primary.kill()
        self.primary.wait()
        self.is_replicated = False

    def recover(self) -> str:
        """Promote the replica, and move the address there; says what was done."""
        with self._admin(self.second) as replica:
            replica.execute_command("REPLICAOF", "NO", "ONE")
        self._address("del", self.first)
        self._address("add", self.second)
        return f"REPLICAOF NO ONE on machine 2, and {ADDRESS} moves there"

    def _address(self, action: str, host: Host) -> None:
        host.run("ip", "address", action, f"{ADDRESS}/32", "dev", CABLE)

    @contextmanager
    def _admin(self, host: Host) -> Iterator[Any]:
        import redis

        with host.entered():
            client = redis.Redis(
                host=host.address,
                port=PORT,
                username="admin",
                password=self.passwords["admin"],
                ssl=True,
                ssl_ca_certs=str(self.folder / "cert.pem"),
            )
            try:
                yield client
            finally:
                client.close()

    def _start(self, host: Host, *settings: str) -> "subprocess.Popen[bytes]":
        side = host.name.rpartition("-")[2]
        file = self.folder / f"redis-{side}.conf"
        file.touch(
            mode=0o600
        )  # before there is anything in it: it holds what users' passwords hash to, and one password
        file.write_text("\n".join([*base_settings(self.folder, self.passwords), *settings]) + "\n")
        process = host.start("redis-server", file, log=self.folder / f"redis-{side}.log")
        self._wait_for(host, process)
        return process

    def _wait_for(self, host: Host, process: "subprocess.Popen[bytes]") -> None:
        import redis

        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                with self._admin(host) as client:
                    client.ping()
                return
            except redis.ConnectionError as error:
                if process.poll() is not None or time.monotonic() > until:
                    raise HostsError(f"redis-server does not answer: {error}; see {self.folder}/redis-*.log") from error
                time.sleep(0.05)


@contextmanager
def open_redis_pair(first: Host, second: Host, folder: Path) -> Iterator[RedisPair]:
    """Start both, the address on the first machine; they end with their machines.

    Raises:
        HostsError: A program is missing, or a server does not start.
    """
    for program, package in (("redis-server", "redis-server"), ("openssl", "openssl")):
        if shutil.which(program, path=PATH) is None:
            raise HostsError(f"expected the program {program}, found none; apt-get install --yes {package}")
    pair = RedisPair(first, second, folder, new_passwords())
    make_certificate(folder, (ADDRESS, first.address, second.address))
    pair._address("add", first)
    pair.primary = pair._start(first)
    pair._start(second, f"replicaof {first.address} {PORT}")
    yield pair


def make_certificate(folder: Path, addresses: Sequence[str]) -> None:
    """`cert.pem` and `key.pem`, self-signed, for one day; in a real deployment your own authority's."""
    names = ",".join(f"IP:{address}" for address in addresses)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += [
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "cert.pem"),
        "-days",
        "1",
    ]  # the key: mode 0600
    command += ["-subj", "/CN=cache", "-addext", f"subjectAltName={names}"]
    subprocess.run(command, check=True, capture_output=True)


def base_settings(folder: Path, passwords: Mapping[str, str]) -> list[str]:
    """Lines of redis.conf: TLS only, a cache that drops the oldest, users with the rights that they need."""
    return [
        f"port 0\ntls-port {PORT}\ntls-replication yes\ntls-auth-clients no",
        f"tls-cert-file {folder / 'cert.pem'}\ntls-key-file {folder / 'key.pem'}",
        f"tls-ca-cert-file {folder / 'cert.pem'}",
        f'bind * -::*\ndir {folder}\nsave ""\nappendonly no\nmaxmemory 512mb\nmaxmemory-policy allkeys-lru',
        "user default off",
        _user("kv", passwords, f"~{PREFIX}:* {USER_RIGHTS}"),
        _user("replica", passwords, REPLICA_RIGHTS),
        _user("admin", passwords, "~* +@all"),
        f"masteruser replica\nmasterauth {passwords['replica']}",
    ]


def new_passwords() -> dict[str, str]:
    """One for each user."""
    return {name: secrets.token_urlsafe(24) for name in ("kv", "replica", "admin")}


def _user(name: str, passwords: Mapping[str, str], rights: str) -> str:
    return f"user {name} on #{hashlib.sha256(passwords[name].encode()).hexdigest()} resetchannels {rights}"
