"""`vllm serve`, twice, one after the other, with a folder as store: the second streams what the first one saved."""

import json
import os
import random
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from gainful_vllm import SCHEDULER

START_SECONDS = 240
MODES = ("two_pointer", "layerwise")
LENGTHS = [40, 97, 128, 160, 250, 384, 511, 700, 1024, 1500]


class Server:
    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"

    def read(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.read().decode()

    def complete(self, ids, **params):
        body = {
            "model": "tiny",
            "prompt": ids,
            "max_tokens": 6,
            "temperature": 0,
            "ignore_eos": True,
            "return_token_ids": True,
            "kv_transfer_params": {"sparkv": params},
        }
        answer = json.loads(self.read("/v1/completions", body))
        return answer["choices"][0]["token_ids"], answer["kv_transfer_params"]["sparkv"]

    def metric(self, name, label):
        lines = [line for line in self.read("/metrics").splitlines() if line.startswith(f"gainful:sparkv_{name}")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if label in line)


@pytest.fixture(scope="module")
def cli():
    """recipes/vllm_cli.py: the real program, which builds of another name than `vllm` need help to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "recipes"))
        import vllm_cli

        return vllm_cli


@pytest.fixture(scope="module")
def serve(cli, model_folder, transfer_config, tmp_path_factory):
    """`with serve() as server`: a real server, on the folder that they all share."""
    folder = tmp_path_factory.mktemp("serve")
    config = transfer_config(
        store=f"file://{folder / 'store'}", store_options={"durable": False}, calibration_folder=str(folder / "fits")
    )
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1", "VLLM_LOGGING_LEVEL": "INFO"}
    environment |= cli.variables(folder)
    options = ["--dtype", "float32", "--enforce-eager", "--served-model-name", "tiny", "--block-size", "32"]
    options += ["--max-model-len", "2048", "--max-num-seqs", "8", "--max-num-batched-tokens", "128"]
    options += ["--scheduler-cls", SCHEDULER, "--kv-transfer-config", json.dumps(config)]

    @contextmanager
    def start():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [cli.program(), "serve", model_folder, "--host", "127.0.0.1", "--port", str(port), *options]
        log = folder / f"{port}.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        try:
            yield _ready(Server(port), process, log)
            assert process.poll() is None, log.read_text()[-3000:]
        finally:
            process.terminate()
            process.wait(60)

    return start


def _ready(server, process, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            server.read("/health")
            return server
        except OSError:
            time.sleep(0.5)


@pytest.fixture(scope="module")
def prompts():
    draw = random.Random(3)  # noqa: S311 (prompts, not secrets)
    return [[draw.randrange(3, 250) for _ in range(length)] for length in LENGTHS * 20]


@pytest.fixture(scope="module")
def expected(open_engine, prompts):
    """Tokens of an engine without our connector."""
    from vllm import SamplingParams

    with open_engine(kv_transfer_config=None, scheduler_cls=None) as llm:
        sampling = SamplingParams(max_tokens=6, temperature=0, ignore_eos=True)
        outputs = llm.generate([{"prompt_token_ids": ids} for ids in prompts], sampling, use_tqdm=False)
    return [list(output.outputs[0].token_ids) for output in outputs]


def test_the_second_server_streams_what_the_first_one_saved(serve, prompts, expected):
    with serve() as first:
        answers = [first.complete(ids) for ids in prompts]
        assert [tokens for tokens, _ in answers] == expected
        chunks = sum(len(ids) // 32 for ids in prompts)
        deadline = time.monotonic() + 120
        while first.metric("chunks_total", 'fate="saved"') < chunks:
            assert time.monotonic() < deadline, first.metric("chunks_total", 'fate="saved"')
            first.complete(prompts[0][:8])  # counters travel with steps
            time.sleep(0.1)
        assert first.metric("tokens_total", 'route="streamed"') == 0
    with serve() as second:
        modes = [MODES[number // len(LENGTHS) % 2] for number in range(len(prompts))]
        answers = [second.complete(ids, use_plan=False, mode=mode) for ids, mode in zip(prompts, modes, strict=True)]
        assert [tokens for tokens, _ in answers] == expected
        by_mode = {
            mode: sum(report["streamed_tokens"] for _, report in answers if report["mode"] == mode) for mode in MODES
        }
        assert [report["mode"] for _, report in answers] == modes
        assert all(by_mode.values()), by_mode
        streamed = sum(by_mode.values())
        assert second.metric("tokens_total", 'route="streamed"') == streamed
        assert second.metric("requests_total", 'outcome="taken over"') > 0
        assert second.metric("bytes_total", 'direction="loaded"') > 0
        assert second.metric("fallbacks_total", 'reason="failed"') == 0
