"""Real engines, each in a process of its own and all alive at once, so that their runs can be interleaved."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from methods import EngineName
from settings import Setup

START_SECONDS = 900.0
SCHEDULER = "gainful_vllm.scheduler.SparKVScheduler"


class EngineError(RuntimeError):
    """An engine has ended, or does not answer; the message has the end of its log."""


def llm_arguments(name: EngineName, setup: Setup, model: Path, store: str, folder: Path) -> dict[str, Any]:
    """What `vllm.LLM` is made with."""
    whole = name == "whole"
    connector = {
        "store": store,
        "mode": "layerwise" if whole else "two_pointer",
        "codec": "int8" if name == "int8" else "raw",
        "allow_lossy_reuse": name == "int8",
        "calibration_folder": str(folder / "calibration" / name),
        "load_seconds": 120.0,
        "stall_seconds": 120.0,  # or a slow link would end a split that is to be measured
    }
    return {
        "model": str(model),
        "skip_tokenizer_init": True,
        "dtype": setup.dtype,
        "enforce_eager": True,
        "max_model_len": setup.max_tokens + 64,
        "max_num_batched_tokens": 2 * setup.max_tokens if whole else setup.step_tokens,
        "max_num_seqs": 4,
        "block_size": setup.block_tokens,
        "enable_prefix_caching": True,
        "disable_log_stats": False,  # they hold the time of the first token
        "kv_transfer_config": {
            "kv_connector": "SparKVConnector",
            "kv_role": "kv_both",
            "kv_load_failure_policy": "recompute",
            "kv_connector_extra_config": connector,
        },
        **({} if whole else {"scheduler_cls": SCHEDULER}),
    }


def environment(setup: Setup, folder: Path) -> dict[str, str]:
    """On top of the caller's."""
    return {
        "OMP_NUM_THREADS": str(setup.threads),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CACHE_ROOT": str(folder / "vllm_cache"),
        "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(setup.multiprocess)),
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONHASHSEED": "0",  # block hashes of all engines begin with the same seed
    }


class Engine:
    """One `engine_process.py`."""

    def __init__(self, name: str, arguments: dict[str, Any], variables: dict[str, str], folder: Path) -> None:
        self.name, self.log_file = name, folder / f"{name}.log"
        command = (sys.executable, str(Path(__file__).with_name("engine_process.py")), json.dumps({"llm": arguments}))
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **variables},
                start_new_session=True,  # vLLM's own processes are to end with it, however it ends
            )
        self._answers: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.about: dict[str, Any] = {}

    def wait_until_ready(self) -> None:
        """Engines start side by side; this is when one is needed."""
        self.about = self.about or self._next(START_SECONDS)

    def generate(
        self, prompts: list[list[int]], params: dict[str, Any] | None, output_tokens: int, max_seconds: float = 600.0
    ) -> dict[str, Any]:
        """Seconds to first token, tokens and reports of all prompts, which arrive together."""
        order = {"op": "generate", "prompts": prompts, "params": params, "output_tokens": output_tokens}
        return self._ask(order, max_seconds)

    def reset(self) -> None:
        """Forget all prefixes."""
        if not self._ask({"op": "reset"}, 60.0)["reset"]:
            raise EngineError(f"engine {self.name} kept its prefix cache: some blocks are in use; see {self.log_file}")

    def close(self) -> None:
        """Ask it to end, then make it."""
        if self._process.poll() is None:
            try:
                self._send({"op": "quit"})
                self._process.wait(20.0)
            except (OSError, subprocess.TimeoutExpired):
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _ask(self, order: dict[str, Any], max_seconds: float) -> dict[str, Any]:
        self._send(order)
        return self._next(max_seconds)

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def _next(self, max_seconds: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=max_seconds)
        except queue.Empty:
            raise EngineError(
                f"engine {self.name} did not answer within {max_seconds:g} s; {self._end_of_log()}"
            ) from None
        if not line:
            raise EngineError(f"engine {self.name} has ended; {self._end_of_log()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(b"")

    def _end_of_log(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join([f"{self.log_file} ends with:", *lines[-15:]])
