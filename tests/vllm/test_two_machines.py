"""recipes/sparkv_two_machines and what it stands on: two machines on one, the real `vllm` program."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes/sparkv_two_machines"
MODULES = ("bucket", "redis_pair", "scenario", "serving", "sizing", "tables", "two_hosts", "vllm_cli")


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """The recipe's modules, which are no package, for the time of a test."""
    for folder in (ROOT / "recipes", RECIPE):
        monkeypatch.syspath_prepend(str(folder))
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def two_hosts(path):
    import two_hosts

    if lacks := two_hosts.missing():
        pytest.skip("; ".join(lacks))
    return two_hosts


def namespaces():
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout


def is_alive(pid):
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


# two machines on one

ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    peer = server.accept()[0]
    while data := peer.recv(65536):
        peer.sendall(data)
"""


def connect(host, address, port):
    until = time.monotonic() + 20
    while True:
        try:
            with host.entered():
                return socket.create_connection((address, port), 5)
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_process_on_one_machine_is_reached_from_the_other_and_the_bytes_are_counted(two_hosts, tmp_path):
    with two_hosts.two_hosts("test") as (first, second):
        process = first.start(sys.executable, "-c", ECHO, first.address, log=tmp_path / "log")
        sent, received = second.sent_bytes(), second.received_bytes()
        with connect(second, first.address, 7000) as peer:
            assert process.pid in first.pids()
            assert process.pid not in second.pids()
            peer.sendall(bytes(200_000))
            left = 200_000
            while left:
                left -= len(peer.recv(65536))
        assert second.sent_bytes() - sent >= 200_000
        assert second.received_bytes() - received >= 200_000
        assert first.received_bytes() >= 200_000


def test_each_machine_has_its_own_ports_and_a_thread_comes_back_from_it(two_hosts):
    with two_hosts.two_hosts("test") as (first, second):
        with first.entered():
            here = socket.create_server(("127.0.0.1", 7001))
        with second.entered():
            there = socket.create_server(("127.0.0.1", 7001))
        home = os.readlink("/proc/thread-self/ns/net")
        with contextlib.suppress(KeyError), first.entered():
            assert os.readlink("/proc/thread-self/ns/net") != home
            raise KeyError
        assert os.readlink("/proc/thread-self/ns/net") == home
        here.close()
        there.close()


def test_the_rate_of_a_cable_can_be_set_again(two_hosts):
    with two_hosts.two_hosts("test") as (first, _):
        for mbit, shown in ((10.0, "10Mbit"), (2000.0, "2Gbit")):
            first.shape(mbit)
            assert f"rate {shown}" in first.run("tc", "qdisc", "show", "dev", two_hosts.CABLE)


def test_a_command_that_fails_says_what_it_complained_of(two_hosts):
    with two_hosts.two_hosts("test") as (first, _), pytest.raises(two_hosts.HostsError, match="No such file"):
        first.run("ls", "/nowhere")


STUBBORN = "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN += "subprocess.Popen(['sleep', '1000'], start_new_session=True); time.sleep(1000)"


def test_nothing_is_left_after_an_error_even_of_a_process_that_does_not_want_to_end(two_hosts, tmp_path, monkeypatch):
    monkeypatch.setattr(two_hosts, "GRACE_SECONDS", 0.3)
    with contextlib.suppress(KeyError), two_hosts.two_hosts("test") as (first, second):
        process = second.start(sys.executable, "-c", STUBBORN, log=tmp_path / "log")
        until = time.monotonic() + 20
        while len(pids := second.pids()) < 2:
            assert time.monotonic() < until
        raise KeyError
    assert process.poll() is not None
    assert not any(map(is_alive, pids))
    assert first.name not in namespaces()
    assert second.name not in namespaces()


DRIVER = """
import sys, time
from pathlib import Path
from two_hosts import two_hosts
with two_hosts("test") as (first, second):
    print(first.start("sleep", "1000", log=Path(sys.argv[1])).pid, first.name, flush=True)
    time.sleep(1000)
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_takes_both_machines_down(two_hosts, tmp_path, number):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "recipes")}
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "log")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as driver:
        pid, name = driver.stdout.readline().split()
        assert name in namespaces()
        driver.send_signal(number)
        assert driver.wait(30) != 0
    assert name not in namespaces()
    assert not is_alive(pid)


def test_what_is_missing_is_said_with_the_remedy(path, monkeypatch):
    import two_hosts

    monkeypatch.setattr(two_hosts.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(two_hosts, "PATH", "/nowhere")
    with pytest.raises(two_hosts.HostsError, match=r"expected root, found user id 1000.*sudo.*install --yes iproute2"):
        two_hosts.require_hosts()


# the real `vllm` program


def test_the_metadata_that_vllm_asks_for_is_found_by_its_process_and_nothing_is_installed(path, tmp_path):
    import vllm_cli

    environment = {**os.environ, **vllm_cli.variables(tmp_path)}
    code = "from importlib.metadata import version; print(version('vllm'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.startswith("0.32.")
    assert vllm_cli.program().name == "vllm"


def test_an_environment_without_vllm_is_told_so(path, monkeypatch, tmp_path):
    import vllm_cli

    monkeypatch.setattr(vllm_cli.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(FileNotFoundError, match="expected the program .*vllm, found none"):
        vllm_cli.program()


# parts of the recipe


def test_the_bytes_of_a_token_are_those_of_the_formula_and_a_frame_is_a_little_more(path):
    from sizing import frame_bytes, token_bytes

    # keys and values, 32 layers, 8 heads of 128 values, 2 bytes each: 2 * 32 * 8 * 128 * 2
    assert token_bytes(32, 8, 128, "bfloat16") == 131_072
    block = 64 * token_bytes(4, 2, 32, "float32")
    raw, int8 = (frame_bytes(4, 2, 32, "float32", 64, codec) for codec in ("raw", "int8"))
    assert block < raw < block + 4096
    assert int8 < block / 3


def test_the_shape_of_a_model_is_read_from_its_configuration(path, tmp_path):
    from argparse import Namespace

    from sizing import shape

    config = tmp_path / "config.json"
    config.write_text(json.dumps({"num_hidden_layers": 3, "num_attention_heads": 8, "hidden_size": 512}))
    assert shape(Namespace(config=config)) == (3, 8, 64)
    assert shape(Namespace(config=None, layers=1, kv_heads=2, head_dim=4)) == (1, 2, 4)


def test_the_rehearsal_waits_as_long_as_the_connector_leaves_a_failing_store_alone(path):
    import scenario

    from gainful_vllm.lookup import MAX_FAILURES, REST_SECONDS

    assert scenario.REST_SECONDS > REST_SECONDS
    assert scenario.GROUPS["away"] + scenario.GROUPS["unseen"] >= MAX_FAILURES


def row(**changes):
    from scenario import Row

    tokens = {"computed": 10, "streamed": 10, "local": 0}
    fields = {"phase": "stored", "machine": 2, "num_requests": 3, "num_same": 3, "tokens": tokens}
    return Row(**{**fields, "ttft_s": 1.0, "cable_bytes": 1, "failures": {}, **changes})


def test_a_rehearsal_in_which_all_is_well_is_not_complained_of(path):
    from scenario import check

    away = row(phase="store away", tokens={"computed": 9, "streamed": 0, "local": 0}, failures={"lookup failed": 3})
    assert check([row(machine=1, num_same=None), row(), away]) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"num_same": 2}, "stored: 1 answers are not those of plain prefill"),
        ({"phase": "back, saved now", "tokens": {"streamed": 0}}, "back, saved now: expected tokens from the store"),
        ({"phase": "store away"}, "store away: expected fallbacks to be counted"),
    ],
)
def test_a_rehearsal_complains_of_wrong_tokens_an_unused_store_and_silent_failures(path, changes, complaint):
    from scenario import check

    (found,) = check([row(**changes)])
    assert found.startswith(complaint)


def test_the_deployment_guide_grants_the_rights_that_the_rehearsal_runs_with(path):
    import redis_pair

    guide = (RECIPE / "README.md").read_text()
    assert f"~{redis_pair.PREFIX}:* {redis_pair.USER_RIGHTS}\n" in guide
    assert f" {redis_pair.REPLICA_RIGHTS}\n" in guide


def test_the_configuration_of_the_guide_is_one_that_the_connector_takes_and_holds_no_secret(path):
    from gainful_vllm.options import read_options

    (text,) = re.findall(r"CONFIG='(\{.*?\})'", (RECIPE / "README.md").read_text(), flags=re.DOTALL)
    config = json.loads(text)
    assert (config["kv_role"], config["kv_load_failure_policy"]) == ("kv_both", "recompute")
    options = read_options(config["kv_connector_extra_config"])
    assert options.store.startswith("rediss://kv:${KV_PASSWORD}@")
    assert options.encryption_key_variables == ("KV_FRAME_KEY",)
    assert options.weights_revision


# the whole rehearsal


def test_the_rehearsal_streams_survives_the_loss_of_its_store_and_leaves_nothing(two_hosts, tmp_path):
    command = [sys.executable, str(RECIPE), "--tokens", "1024", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line.startswith("|")
    ]
    by_phase = {(row[0], row[1]): row for row in rows}
    for phase in ("stored, read over the cable", "store away", "back, saved before", "back, saved now"):
        assert by_phase[phase, "2"][2] == "3 of 3"
    assert by_phase["store killed meanwhile", "2"][2] == "1 of 1"
    assert "lookup failed" in by_phase["store away", "2"][-1]
    (streamed,) = (row[2] for row in rows if row[0] == "machine 2")
    assert int(streamed.replace(",", "")) > 0
    assert "sparkv-" not in namespaces()
    secrets = [line for name in ("redis-a.conf", "redis-b.conf") for line in (tmp_path / name).read_text().splitlines()]
    passwords = [line.split()[1] for line in secrets if line.startswith("masterauth")]
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log")) + done.stdout
    assert passwords
    assert not any(password in logs for password in passwords)
