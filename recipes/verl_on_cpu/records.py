"""Reads what verl writes during a run."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

REWARD_KEY = "critic/score/mean"
SECONDS_KEY = "timing_s/step"


def read_jsonl(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; a last line that is still being written is left out."""
    for line in file.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def by_step(folder: Path) -> dict[int, Path]:
    """verl's dumps in `folder`, `<step>.jsonl` each, in order of steps."""
    return {int(file.stem): file for file in sorted(folder.glob("*.jsonl"), key=lambda file: int(file.stem))}


def merged_metrics(files: Iterable[Path]) -> list[dict[str, Any]]:
    """The records of several attempts in order of steps; where two hold a step, the later attempt wins."""
    records = {record["step"]: record for file in files if file.exists() for record in read_jsonl(file)}
    return [records[step] for step in sorted(records)]


def last_errors(log: str, num_lines: int = 12) -> list[str]:
    """The lines of a failed run's log that most likely say why: the end of its last traceback."""
    lines = [line for line in log.splitlines() if line.strip()]
    named = re.compile(r"(?:^|\s)[\w.]*(?:Error|Exception)\b[^(]*:|Error executing job")
    hits = [index for index, line in enumerate(lines) if named.search(line)]
    end = hits[-1] + 1 if hits else len(lines)
    return lines[max(0, end - num_lines) : end]
