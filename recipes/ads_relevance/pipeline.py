"""One seed of the recipe: base teacher, GRPO and AGPO from it, annotations, students, and every model's scores."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import ceil

import annotate
import data
import numpy as np
import pandas as pd
import student
import teacher
import torch
import train
from plan import Plan
from stages import Arrays, Stages, with_prefix
from teacher import TeacherModel, Vocabulary

TEACHERS = ("base", *train.METHODS)
STUDENTS = (*(f"{name} student" for name in TEACHERS), "annotation student", "label student")
"""The last two have no teacher: one learns from the cheap annotations, the other from verified labels too."""
RATED = ("validation", "test", "unlabelled")
NUM_EXAMPLE_ANSWERS = 3
_EXAMPLE_SEED = 3
_WEIGHTS, CURVE = "weights.", "curve."

Bar = Callable[[str, int], AbstractContextManager[train.Tick]]
"""`with bar("seed 1: base", 700) as tick` shows a stage's progress; `tick()` moves it by one."""


@dataclass(frozen=True)
class Setting:
    """What all seeds share."""

    plan: Plan
    parts: data.Parts
    vocabulary: Vocabulary
    device: torch.device

    @classmethod
    def build(cls, plan: Plan, parts: data.Parts) -> "Setting":
        demonstrations = train.demonstrations(parts.supervised)
        vocabulary = Vocabulary.build(parts.supervised, demonstrations, plan.teacher, plan.data.max_grade)
        return cls(plan, parts, vocabulary, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def prompts(self, part: str) -> torch.Tensor:
        return self.vocabulary.prompts(getattr(self.parts, part)).to(self.device)


@dataclass(frozen=True)
class SeedRun:
    """Runs one seed; whatever is already saved is read instead."""

    setting: Setting
    seed: int
    stages: Stages
    bar: Bar

    def grade_shares(self) -> dict[str, Arrays]:
        """For every model: part -> [N, grades]; nan where a teacher gave no readable answer."""
        shares = {}
        for name in TEACHERS:
            votes = self.votes(name)
            shares[name] = {part: annotate.shares(votes[part]) for part in RATED}
        for name in STUDENTS:
            shares[name] = self.student(name)
        return shares

    def base(self) -> Arrays:
        """Weights of the base, `weights.*`."""
        return self.stages.get("base", self._train_base)

    def reinforced(self, method: str) -> Arrays:
        """Weights after RL, `weights.*`, and the training curve, `curve.*`."""
        return self.stages.get(method, lambda: self._train_reinforced(method))

    def votes(self, name: str) -> Arrays:
        """Vote counts of a teacher on each of `RATED`."""
        return self.stages.get(f"votes-{name}", lambda: self._annotate(name))

    def student(self, name: str) -> Arrays:
        """Grade shares of a student on each of `RATED`, its weights as `weights.*`, and `rating_seconds`."""
        return self.stages.get(name.replace(" ", "-"), lambda: self._train_student(name))

    def example_answers(self, name: str, rows: np.ndarray) -> list[list[str]]:
        """The first answers of a teacher to some test pairs."""
        prompts = self.setting.prompts("test")[torch.from_numpy(rows)]
        generator = torch.Generator().manual_seed(_EXAMPLE_SEED)
        shape = (len(rows), NUM_EXAMPLE_ANSWERS, self.setting.vocabulary.response_slots)
        uniforms = torch.rand(shape, generator=generator).to(prompts.device)
        texts = self.setting.vocabulary.texts(teacher.sample(self._teacher(name), prompts, uniforms))
        return [texts[i : i + NUM_EXAMPLE_ANSWERS] for i in range(0, len(texts), NUM_EXAMPLE_ANSWERS)]

    def num_parameters(self) -> dict[str, int]:
        """Of a teacher and of a student."""
        return {
            kind: sum(weights.size for weights in with_prefix(arrays, _WEIGHTS).values())
            for kind, arrays in (("teacher", self.base()), ("student", self.student(STUDENTS[0])))
        }

    def _new_teacher(self) -> TeacherModel:
        return teacher.build_teacher(self.setting.vocabulary, self.setting.plan.teacher, self.seed).to(
            self.setting.device
        )

    def _teacher(self, name: str) -> TeacherModel:
        arrays = self.base() if name == "base" else self.reinforced(name)
        model = self._new_teacher()
        teacher.from_arrays(model, with_prefix(arrays, _WEIGHTS))
        return model

    def _train_base(self) -> Arrays:
        setting, model = self.setting, self._new_teacher()
        responses = setting.vocabulary.responses(train.demonstrations(setting.parts.supervised)).to(setting.device)
        options = setting.plan.supervised
        with self._bar("base", options.steps) as tick:
            train.supervise(model, setting.prompts("supervised"), responses, options, seed=self.seed, tick=tick)
        return _weights(model)

    def _train_reinforced(self, method: str) -> Arrays:
        setting, model = self.setting, self._teacher("base")
        truths = data.ground_truths(setting.parts.reinforced, setting.plan.data.max_grade)
        task = train.Task(setting.vocabulary, setting.prompts("reinforced"), truths)
        options = setting.plan.reinforced
        with self._bar(method, options.steps) as tick:
            curve = train.reinforce(model, task, method, options, seed=self.seed, tick=tick)
        return _weights(model) | {f"{CURVE}{name}": array for name, array in curve.items()}

    def _annotate(self, name: str) -> Arrays:
        setting, model = self.setting, self._teacher(name)
        options, max_grade = setting.plan.annotate, setting.plan.data.max_grade
        prompts = {part: setting.prompts(part) for part in RATED}
        num_batches = sum(ceil(len(rows) / options.batch) for rows in prompts.values())
        with self._bar(f"{name} annotates", num_batches) as tick:
            return {
                part: annotate.votes(
                    model, setting.vocabulary, rows, options, max_grade=max_grade, seed=self.seed, tick=tick
                )
                for part, rows in prompts.items()
            }

    def _train_student(self, name: str) -> Arrays:
        setting, options = self.setting, self.setting.plan.student
        pairs, targets = self._lesson(name)
        with self._bar(name, options.steps) as tick:
            model = student.teach(pairs, targets, options, seed=self.seed, device=setting.device, tick=tick)
        start = time.perf_counter()
        shares = {part: student.grade_shares(model, getattr(setting.parts, part), options) for part in RATED}
        seconds = {"rating_seconds": np.array(time.perf_counter() - start)}
        return shares | seconds | _weights(model)

    def _lesson(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """The pairs and grade shares [N, grades] that a student learns from."""
        parts, certain = self.setting.parts, np.eye(self.setting.plan.data.max_grade + 1)
        cheap = certain[parts.supervised["annotation"]]
        if name == "annotation student":
            return parts.supervised, cheap
        if name == "label student":
            verified = certain[parts.reinforced["label"]]
            return pd.concat([parts.supervised, parts.reinforced]), np.concatenate([cheap, verified])
        return parts.unlabelled, annotate.shares(self.votes(name.removesuffix(" student"))["unlabelled"])

    def _bar(self, text: str, total: int) -> AbstractContextManager[train.Tick]:
        return self.bar(f"seed {self.seed}: {text}", total)


def _weights(model: torch.nn.Module) -> Arrays:
    return {f"{_WEIGHTS}{name}": array for name, array in teacher.to_arrays(model).items()}
