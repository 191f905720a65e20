"""Two machines, two vLLM servers, one store of KV caches: streamed over a slow cable, lost, and brought back.

    make env-vllm store-servers
    .venvs/vllm/bin/python recipes/sparkv_two_machines                 # Redis with a replica
    .venvs/vllm/bin/python recipes/sparkv_two_machines --store s3      # an S3-compatible server (make env-stores)

The machines are network namespaces, so it needs root. A wrong token, or a store that is not used, ends it with
status 1.
"""

import argparse
import base64
import os
import runpy
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bucket import open_bucket
from redis_pair import open_redis_pair
from rich.console import Console
from rich.table import Table
from scenario import Row, Scenario, check
from serving import Server, ServingError, doctor, shown_command, start, transfer_config
from tables import phases, routes
from two_hosts import Host, HostsError, require_hosts, two_hosts

ROOT = Path(__file__).resolve().parents[2]
Say = Callable[[str], None]
STORES = {"redis": open_redis_pair, "s3": open_bucket}
KV_HEADS = 16
"""Of the model, two layers deep: 8 KiB of KV a token in float32."""
WIDTH = 150
"""Of tables, also where the output is no terminal."""
FRAME_KEY = "KV_FRAME_KEY"
"""Environment variable with the key that seals frames."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=STORES, default="redis")
    parser.add_argument("--tokens", type=int, default=2048, help="of each prompt, at most 8000 (default: 2048)")
    parser.add_argument("--mbit", type=float, help="of the cable (default: where streaming takes as long as computing)")
    parser.add_argument("--out", type=Path, default=ROOT / "out/sparkv_two_machines", help="for logs and the model")
    return parser.parse_args()


def main() -> int:
    options, console = parse(), Console(highlight=False, soft_wrap=True, width=WIDTH)
    began, load = time.monotonic(), os.getloadavg()[0]
    say = partial(console.print, markup=False)
    try:
        require_hosts()
        rows, servers_table = run(options, lambda text: say(f"{time.monotonic() - began:5.1f} s  {text}"))
    except (HostsError, ServingError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; both machines are gone")
        return 130
    console.print(phases(rows), servers_table, sep="")
    say(f"{time.monotonic() - began:.0f} s in all; load average {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    for wrong in (found := check(rows)):
        say(f"WRONG: {wrong}")
    return 1 if found else 0


def run(options: argparse.Namespace, say: Say) -> tuple[Sequence[Row], Table]:
    """Start everything, go through the phases, end everything."""
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    model = _model(out / "model")
    with two_hosts("sparkv") as hosts, STORES[options.store](*hosts, out) as store:
        environment = {**store.secrets, FRAME_KEY: base64.b64encode(secrets.token_bytes(32)).decode()}
        transfer = transfer_config(
            store.url,
            store.options,
            encryption_key_variables=[FRAME_KEY],
            weights_revision="tiny-1",
            calibration_folder=str(out / "calibration"),
            use_plan=False,  # whether the tiny model is worth it is not the question here
            lookup_seconds=1.0,  # of cores that are shared by everything
        )
        say(f"two machines and {store.name}; on both: {shown_command(model, transfer)}")
        servers = _serve(hosts, model, transfer, environment, out)
        if not store.options:  # which the doctor cannot be given
            say(f"gainful doctor vllm, on machine 2:\n{doctor(hosts[1], transfer, environment, out)}")
        for server in servers:
            server.wait_until_ready()
        say("both servers are ready")
        scenario = Scenario(hosts, servers, store, options.tokens, say, options.mbit)
        scenario.run()
        return scenario.rows, routes(servers)


def _model(folder: Path) -> Path:
    """Of random weights; both machines see the same files."""
    if not (folder / "model.safetensors").exists():
        runpy.run_path(str(ROOT / "tests/fixtures/tiny_vllm/make_model.py"))["main"](folder, KV_HEADS)
    return folder


def _serve(
    hosts: tuple[Host, Host], model: Path, transfer: Mapping[str, Any], environment: Mapping[str, str], out: Path
) -> tuple[Server, Server]:
    first, second = (start(host, model, transfer, environment, out) for host in hosts)
    return first, second


if __name__ == "__main__":
    sys.exit(main())
