"""Runs stock verl with the platform of this package, and leaves nothing of it behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

FOLDER = Path(__file__).resolve().parents[1]
"""Goes on PYTHONPATH, so that verl's processes find this package."""
STOP_SECONDS = 15
"""How long a run may take to stop when asked, before it is killed."""
LOOK_SECONDS = 0.5
ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    "HYDRA_FULL_ERROR": "1",
    "RAY_ADDRESS": "local",  # never join a cluster that happens to run here
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # at Ray's 15, any other program on two cores stops the training
}


def environment_for(*python_paths: Path, metrics_file: Path) -> dict[str, str]:
    """What a run needs on top of the caller's environment; `python_paths` are a recipe's own folders."""
    python_path, modules = (os.environ.get(name) for name in ("PYTHONPATH", "VERL_USE_EXTERNAL_MODULES"))
    return {
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(filter(None, [*map(str, python_paths), str(FOLDER), python_path])),
        "VERL_USE_EXTERNAL_MODULES": ",".join(filter(None, ["verl_on_cpu", modules])),
        "VERL_FILE_LOGGER_PATH": str(metrics_file),
    }


def trainer_command(recipe: Path) -> list[str]:
    """Stock verl's trainer with the settings of a recipe's folder; overrides follow."""
    return [sys.executable, "-m", "verl.trainer.main_ppo", f"--config-dir={recipe}", "--config-name=config"]


def seed_settings(seed: int) -> dict[str, int]:
    """Everything that verl seeds."""
    worker = "actor_rollout_ref"
    actor = (f"{worker}.actor.data_loader_seed", f"{worker}.actor.fsdp_config.seed")
    return dict.fromkeys(("data.seed", *actor, f"{worker}.rollout.seed"), seed)


class RunTimeoutError(RuntimeError):
    """A run took longer than it may."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    log_file: Path,
    *,
    max_seconds: float,
    look: Callable[[], None],
) -> int:
    """Run verl to its end, all output in a log file; nothing of it is left when this returns.

    Args:
        command: Program and arguments.
        environment: What is set on top of the caller's.
        log_file: Written anew; its folder is made.
        max_seconds: Wall-clock limit.
        look: Called about twice a second while the run goes on.

    Returns:
        The exit status.

    Raises:
        RunTimeoutError: The limit was reached and the run was stopped.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that all of it can be found and stopped
        )
        try:
            return _wait(process, max_seconds, look)
        finally:
            _stop_session(process)


def _wait(process: subprocess.Popen, max_seconds: float, look: Callable[[], None]) -> int:
    for _ in range(max(1, round(max_seconds / LOOK_SECONDS))):
        try:
            return process.wait(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            look()
    raise RunTimeoutError(
        f"train: the run must end within {max_seconds:g} s and did not; raise --max-seconds or lower --steps"
    )


def _stop_session(process: subprocess.Popen) -> None:
    """Ask what is left of the run to end, wait, then kill.

    Ray puts its workers into process groups of their own, but all of them stay in the session of `process`.
    """
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and _session_members(process):
        time.sleep(LOOK_SECONDS)
    for pid in _session_members(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _session_members(process: subprocess.Popen) -> list[int]:
    """Ids of the living processes in the session that `process` leads."""
    process.poll()  # or it would stay as a zombie
    members = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == process.pid:
                members.append(pid)
    return members
