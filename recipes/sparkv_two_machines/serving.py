"""One `vllm serve` with SparKVConnector on one of the machines, and what its clients see of it."""

import http.client
import json
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from two_hosts import Host
from vllm_cli import program, variables

PORT = 8000
START_SECONDS = 240
ANSWER_SECONDS = 120
LOG_LINES = 25
SAMPLE = re.compile(r"^([\w:]+)(?:\{(.*)\})? (\S+)$", flags=re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')
FAILED_FATES = ("failed", "damaged", "save_failed", "save_dropped")
BLOCK_TOKENS = 32
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Of a small server on a CPU that it shares with another one."""
MODEL_NAME = "tiny"


class ServingError(RuntimeError):
    """A server did not start or did not answer; the message holds the end of its log."""


@dataclass(frozen=True)
class Answer:
    """Of one request."""

    tokens: list[int]
    report: Mapping[str, Any]
    """What became of the prompt, as the connector says it in `kv_transfer_params`."""
    ttft_s: float
    """By the server's own histogram of times to the first token."""


def arguments(model: Path, transfer: Mapping[str, Any]) -> list[str]:
    """Of `vllm`; float32, in which equal tokens mean equal caches."""
    return [
        *("serve", str(model), "--served-model-name", MODEL_NAME, "--port", str(PORT)),
        *("--dtype", "float32", "--enforce-eager", "--block-size", str(BLOCK_TOKENS), "--max-model-len", "8192"),
        *("--max-num-seqs", "4", "--max-num-batched-tokens", "256"),
        *("--scheduler-cls", "gainful_vllm.scheduler.SparKVScheduler"),
        *("--kv-transfer-config", json.dumps(transfer)),
    ]


def transfer_config(store: str, store_options: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """What `--kv-transfer-config` is set to."""
    return {
        "kv_connector": "SparKVConnector",
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {"store": store, "store_options": dict(store_options), **options},
    }


class Server:
    """The running server; call its methods from any thread, they enter its machine by themselves."""

    def __init__(self, host: Host, process: "Popen[bytes]", log: Path) -> None:
        self.host, self._process, self._log = host, process, log

    def wait_until_ready(self) -> None:
        """Raises `ServingError` if it ends, or is not ready in time."""
        until = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise ServingError(f"{self._log} ends with:\n{self.log_end()}")
            time.sleep(0.25)

    def complete(self, ids: list[int], *, max_tokens: int = 8, **params: Any) -> Answer:
        """One request alone, greedy; `params` are its `kv_transfer_params["sparkv"]`."""
        before = self._ttft_s()
        body = {
            "model": MODEL_NAME,
            "prompt": ids,
            "max_tokens": max_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
            "kv_transfer_params": {"sparkv": params},
        }
        answer = json.loads(self._read("POST", "/v1/completions", json.dumps(body)))
        report = answer["kv_transfer_params"]["sparkv"]
        return Answer(answer["choices"][0]["token_ids"], report, self._ttft_s() - before)

    def _ttft_s(self) -> float:
        """Of all requests so far."""
        found = SAMPLE.findall(self._read("GET", "/metrics"))
        return sum(float(value) for name, _, value in found if name == "vllm:time_to_first_token_seconds_sum")

    def by_label(self, name: str, label: str) -> "Counter[str]":
        """A metric by one of its labels, summed over the others; what was never counted is 0."""
        found: Counter[str] = Counter()
        for name_found, labels, value in SAMPLE.findall(self._read("GET", "/metrics")):
            if name_found == name:
                found[dict(LABEL.findall(labels)).get(label, "")] += round(float(value))
        return found

    def failures(self) -> "Counter[str]":
        """Fallbacks by reason, and chunks that did not come or could not be saved."""
        fates = self.by_label("gainful:sparkv_chunks_total", "fate")
        chunks = Counter({f"chunks {fate}": fates[fate] for fate in FAILED_FATES})
        return self.by_label("gainful:sparkv_fallbacks_total", "reason") + chunks

    def wait_for(self, name: str, label: str, value: str, at_least: int) -> None:
        """Until a counter is there; they travel with the engine's steps, so requests of one token make some."""
        until = time.monotonic() + ANSWER_SECONDS
        while (found := self.by_label(name, label)[value]) < at_least:
            if time.monotonic() > until:
                raise ServingError(f"{name}: expected {at_least} {value}, found {found}; {self.log_end()}")
            self.nudge()
            time.sleep(0.05)

    def nudge(self) -> None:
        """One step of the engine, and the counters of the one before arrive."""
        self.complete([5], max_tokens=1, mode="compute", save=False)

    def log_end(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def _is_ready(self) -> bool:
        with suppress(OSError):
            self._read("GET", "/health")
            return True
        return False

    def _read(self, method: str, path: str, body: str | None = None) -> str:
        with self.host.entered():
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=ANSWER_SECONDS)
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                text = response.read().decode()
            finally:
                connection.close()
        if response.status != http.client.OK:
            raise ServingError(f"{method} {path}: {response.status} {text[:500]}; {self.log_end()}")
        return text


def start(host: Host, model: Path, transfer: Mapping[str, Any], secrets: Mapping[str, str], folder: Path) -> Server:
    """Start `vllm serve`, which takes a while: it is not waited for."""
    log = folder / f"vllm-{host.name.rpartition('-')[2]}.log"
    log.unlink(missing_ok=True)
    environment = {**ENVIRONMENT, **variables(folder), **secrets}
    return Server(host, host.start(program(), *arguments(model, transfer), log=log, environment=environment), log)


def shown_command(model: Path, transfer: Mapping[str, Any]) -> str:
    """As it would be typed; secrets are in the environment, so there are none in it."""
    return shlex.join(["vllm", *arguments(model, transfer)])


def doctor(host: Host, transfer: Mapping[str, Any], secrets: Mapping[str, str], folder: Path) -> str:
    """What `gainful doctor vllm --store URL` says on that machine; raises `HostsError` if it finds a problem."""
    environment = {**secrets, **variables(folder), "GAINFUL_KV_TRANSFER_CONFIG": json.dumps(transfer), "COLUMNS": "120"}
    store = transfer["kv_connector_extra_config"]["store"]
    gainful = Path(sys.executable).with_name("gainful")
    return host.run(gainful, "doctor", "vllm", "--store", store, environment=environment)
