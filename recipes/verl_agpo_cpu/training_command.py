"""Turns the options of `train.py` into the command and environment of one stock verl run."""

from dataclasses import dataclass, field
from pathlib import Path

from base_model import BasePaths
from verl_on_cpu.launch import environment_for, seed_settings, trainer_command

from gainful.catalog import catalog

RECIPE = Path(__file__).resolve().parent


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
            *trainer_command(RECIPE),
            *self._estimator_overrides(),
            *(f"{key}={value}" for key, value in self._settings().items()),
            *self.overrides,
        ]

    def added_environment(self) -> dict[str, str]:
        """What is set on top of the caller's environment."""
        return environment_for(RECIPE, metrics_file=self.metrics_file)

    def _estimator_overrides(self) -> list[str]:
        """gainful refuses its own section when the estimator is somebody else's."""
        chosen = f"algorithm.adv_estimator={self.estimator}"
        return [chosen] if self.estimator in catalog().advantages else [chosen, "~algorithm.gainful"]

    def _settings(self) -> dict[str, object]:
        return {
            "data.train_files": self.base.train,
            "data.val_files": self.base.val,
            **seed_settings(self.seed),
            "actor_rollout_ref.model.path": self.base.model,
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
