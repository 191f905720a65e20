"""Runs and facts as lines of JSON, each written as soon as it is known."""

import json
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]


def read_records(file: Path) -> list[Record]:
    """Lines of a file; empty if there is none. A line that was cut short by a stop ends the list."""
    records: list[Record] = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def keys_of(runs: list[Record]) -> set[tuple[str, str, int]]:
    """Condition, method and number of the runs that are there."""
    return {(run["condition"], run["method"], run["repeat"]) for run in runs}


def write_record(file: TextIO, record: Record) -> Record:
    """Append it, and give it back."""
    file.write(json.dumps(record) + "\n")
    file.flush()
    return record
