"""What a run does: all settings, checked, and the folder where its finished stages lie."""

import hashlib
import json
from pathlib import Path
from typing import Literal

import tomllib
from pydantic import Field, model_validator

from gainful.advantage import AgpoConfig
from gainful.config import Options, from_mapping
from gainful.errors import ConfigError

CONFIG = Path(__file__).with_name("config.toml")
LAYOUT_VERSION = 1
"""Raised when the code makes something else from the same settings."""
QUICK = {
    "world": {"unlabelled_queries": 400},
    "supervised": {"steps": 500},
    "reinforced": {"steps": 25},
    "annotate": {"votes": 4},
    "student": {"steps": 600},
    "measure": {"resamples": 200},
}
"""What `--quick` changes: shows that everything works, not what it can do."""


class World(Options):
    seed: int
    labelled_queries: int = Field(ge=20)
    unlabelled_queries: int = Field(ge=1)
    ads_per_query: int = Field(ge=1)
    grade_shares: tuple[float, float, float, float]
    unfamiliar_max: float = Field(ge=0, le=1)
    slip_rate: float = Field(ge=0, le=1)


class Data(Options):
    max_grade: int = Field(ge=1, le=9)
    positive_from: int = Field(ge=1)
    min_positives: int = Field(ge=1)
    max_characters: int = Field(ge=1)
    supervised_share: float = Field(gt=0, lt=1)
    reinforced_share: float = Field(gt=0, lt=1)
    validation_share: float = Field(gt=0, lt=1)
    seed: int

    @model_validator(mode="after")
    def _leaves_a_test_part(self) -> "Data":
        if self.supervised_share + self.reinforced_share + self.validation_share >= 1:
            raise ValueError("supervised_share + reinforced_share + validation_share must leave queries for the test")
        if self.positive_from > self.max_grade:
            raise ValueError(f"positive_from must be at most max_grade, {self.max_grade}")
        return self


class Teacher(Options):
    width: int = Field(ge=8)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    max_prompt_words: int = Field(ge=2)
    max_response_words: int = Field(ge=3)
    max_vocabulary: int = Field(ge=1)


class Supervised(Options):
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


class Reinforced(Options):
    steps: int = Field(ge=1)
    prompts: int = Field(ge=1)
    samples: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    agpo: AgpoConfig


class Annotate(Options):
    votes: int = Field(ge=1)
    batch: int = Field(ge=1)


class Student(Options):
    buckets: int = Field(ge=1)
    width: int = Field(ge=1)
    hidden: int = Field(ge=1)
    steps: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)


class Measure(Options):
    target: Literal["recall", "precision"]
    level: float = Field(gt=0, le=1)
    resamples: int = Field(ge=10)


class Plan(Options):
    """All settings; `config.toml` says what each one is for."""

    world: World
    data: Data
    teacher: Teacher
    supervised: Supervised
    reinforced: Reinforced
    annotate: Annotate
    student: Student
    measure: Measure

    def digest(self, data_digest: str) -> str:
        """A short name for what is trained, on this data: all settings but those of `measure`."""
        record = {"plan": self.model_dump(exclude={"measure"}), "data": data_digest, "layout": LAYOUT_VERSION}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]


def read_plan(file: Path = CONFIG, *changes: dict[str, dict]) -> Plan:
    """Read a config file, then apply changes of the form {section: {key: value}}, the last one winning.

    Raises:
        ConfigError: The file cannot be read, a key is unknown or missing, or a value is impossible.
    """
    try:
        sections = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} must be a TOML file: {error}") from error
    for change in changes:
        for name, values in change.items():
            sections[name] = {**sections.get(name, {}), **values}
    return from_mapping(Plan, sections, where=str(file), owner="ads_relevance")
