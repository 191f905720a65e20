"""Turns the options of `train.py` into the command and environment of one stock verl run, and runs it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from base_model import BasePaths

from gainful.catalog import catalog

RECIPE = Path(__file__).resolve().parent
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


@dataclass(frozen=True)
class RunPlan:
    """One call of verl's trainer."""

    out: Path
    estimator: str
    num_steps: int
    seed: int
    base: BasePaths
    validate_every: int
    save_every: int
    attempt: int
    """Counts the calls that wrote to `out`, from 1; every one but the first resumes."""
    overrides: tuple[str, ...] = field(default=())

    @property
    def resumes(self) -> bool:
        return self.attempt > 1

    @property
    def folder(self) -> Path:
        """What verl logs in this attempt."""
        return self.out / "attempts" / str(self.attempt)

    @property
    def log_file(self) -> Path:
        return self.folder / "log.txt"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    @property
    def validation(self) -> Path:
        return self.out / "validation"

    @property
    def rollouts(self) -> Path:
        return self.out / "rollouts"

    def command(self) -> list[str]:
        """The program and its arguments; those of the user come last and win."""
        return [
            *(sys.executable, "-m", "verl.trainer.main_ppo"),
            *(f"--config-dir={RECIPE}", "--config-name=config"),
            *self._estimator_overrides(),
            *(f"{key}={value}" for key, value in self._settings().items()),
            *self.overrides,
        ]

    def added_environment(self) -> dict[str, str]:
        """What is set on top of the caller's environment."""
        python_path, modules = (os.environ.get(name) for name in ("PYTHONPATH", "VERL_USE_EXTERNAL_MODULES"))
        return {
            **ENVIRONMENT,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(RECIPE), python_path])),
            "VERL_USE_EXTERNAL_MODULES": ",".join(filter(None, ["verl_on_cpu", modules])),
            "VERL_FILE_LOGGER_PATH": str(self.metrics_file),
        }

    def _estimator_overrides(self) -> list[str]:
        """gainful refuses its own section when the estimator is somebody else's."""
        chosen = f"algorithm.adv_estimator={self.estimator}"
        return [chosen] if self.estimator in catalog().advantages else [chosen, "~algorithm.gainful"]

    def _settings(self) -> dict[str, object]:
        return {
            "data.train_files": self.base.train,
            "data.val_files": self.base.val,
            "data.seed": self.seed,
            "actor_rollout_ref.model.path": self.base.model,
            "actor_rollout_ref.actor.data_loader_seed": self.seed,
            "actor_rollout_ref.actor.fsdp_config.seed": self.seed,
            "actor_rollout_ref.rollout.seed": self.seed,
            "reward.custom_reward_function.path": RECIPE / "task.py",
            "trainer.total_training_steps": self.num_steps,
            "trainer.test_freq": self.validate_every,
            "trainer.save_freq": self.save_every,
            "trainer.val_before_train": not self.resumes,
            "trainer.resume_mode": "auto" if self.resumes else "disable",
            "trainer.experiment_name": f"{self.estimator}-seed{self.seed}",
            "trainer.default_local_dir": self.checkpoints,
            "trainer.validation_data_dir": self.validation,
            "trainer.rollout_data_dir": self.rollouts,
            "hydra.run.dir": self.folder / "hydra",
        }


class RunTimeoutError(RuntimeError):
    """A run took longer than it may."""


def run(plan: RunPlan, *, max_seconds: float, look: Callable[[], None]) -> int:
    """Run verl to its end, all output in the plan's log file; nothing of it is left when this returns.

    Args:
        plan: What to run.
        max_seconds: Wall-clock limit.
        look: Called about twice a second while the run goes on.

    Returns:
        The exit status.

    Raises:
        RunTimeoutError: The limit was reached and the run was stopped.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    with plan.log_file.open("wb") as log:
        process = subprocess.Popen(
            plan.command(),
            env={**os.environ, **plan.added_environment()},
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
