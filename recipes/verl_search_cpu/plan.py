"""What is run: arms and seeds, and each of them as one call of stock verl's trainer."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_on_cpu.launch import environment_for, seed_settings, trainer_command

RECIPE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Arm:
    """One setting that is compared with the others."""

    name: str
    title: str
    overrides: tuple[str, ...]


ARMS = {
    arm.name: arm
    for arm in (
        Arm("outcome", "outcome alone (λ = 0)", ("algorithm.gainful.weight=0",)),
        Arm("turn", "λ = 0.6, credit per turn", ("algorithm.gainful.weight=0.6", "+algorithm.gainful.form=turn")),
        Arm(
            "sum",
            "λ = 0.6, sum on the trajectory",
            ("algorithm.gainful.weight=0.6", "+algorithm.gainful.form=trajectory_sum"),
        ),
        Arm(
            "stock",
            "verl alone: its loop, its GRPO",
            (
                "algorithm.adv_estimator=grpo",
                "~algorithm.gainful",
                "actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent",
            ),
        ),
    )
}
COMPARED = ("outcome", "turn", "sum")


@dataclass(frozen=True)
class Run:
    """One arm with one seed. Everything about it lies in `folder`."""

    arm: Arm
    seed: int
    num_steps: int
    validate_every: int
    root: Path
    base: Path
    overrides: tuple[str, ...] = ()
    resumes = False

    @property
    def name(self) -> str:
        return f"{self.arm.name}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        return self.root / "runs" / self.name

    @property
    def data(self) -> Path:
        return self.root / "worlds" / str(self.seed)

    @property
    def log_file(self) -> Path:
        return self.folder / "log.txt"

    @property
    def metrics_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def summary_file(self) -> Path:
        return self.folder / "summary.json"

    @property
    def digest(self) -> str:
        """Changes with whatever changes the result: a finished run with another one is run again."""
        files = [RECIPE / name for name in ("config.yaml", "world.py", "task.py")]
        made_of = [self.arm.overrides, self.overrides, self.num_steps, self.validate_every, self.base.name]
        text = json.dumps([*made_of, [file.read_text() for file in files]])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def command(self) -> list[str]:
        return [
            *trainer_command(RECIPE),
            *(f"{key}={value}" for key, value in self._settings().items()),
            *([] if self.arm.name == "stock" else [f"+algorithm.gainful.metrics_path={self.folder / 'gains'}"]),
            *self.arm.overrides,
            *self.overrides,
        ]

    def environment(self) -> dict[str, str]:
        return environment_for(RECIPE, metrics_file=self.metrics_file)

    def _settings(self) -> dict[str, Any]:
        return {
            "data.train_files": self.data / "train.parquet",
            "data.val_files": self.data / "val.parquet",
            **seed_settings(self.seed),
            "actor_rollout_ref.model.path": self.base,
            "actor_rollout_ref.rollout.multi_turn.tool_config_path": self.data / "tools.yaml",
            "reward.custom_reward_function.path": RECIPE / "task.py",
            "trainer.total_training_steps": self.num_steps,
            "trainer.test_freq": self.validate_every,
            "trainer.save_freq": -1,
            "trainer.resume_mode": "disable",
            "trainer.experiment_name": self.name,
            "trainer.default_local_dir": self.folder / "checkpoints",
            "trainer.validation_data_dir": self.folder / "validation",
            "hydra.run.dir": self.folder / "hydra",
        }

    def as_record(self) -> dict[str, Any]:
        return {"arm": self.arm.name, "seed": self.seed, "num_steps": self.num_steps, "digest": self.digest}
