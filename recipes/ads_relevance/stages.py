"""Finished work on disk: each stage is one `.npz` file of plain arrays, written whole or not at all."""

import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


class StageError(ValueError):
    """A saved stage cannot be read."""


@dataclass(frozen=True)
class Stages:
    """One folder of stages; its name stands for the settings and the data."""

    folder: Path

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The saved arrays of a stage, made now if they are not there; `seconds` says how long that took.

        Raises:
            StageError: The file is damaged.
        """
        file = self.folder / f"{name}.npz"
        if not file.exists():
            start = time.perf_counter()
            arrays = make()
            _write(file, {**arrays, "seconds": np.array(time.perf_counter() - start)})
        return _read(file)


def with_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _write(file: Path, arrays: Arrays) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    with unfinished.open("wb") as stream:
        np.savez(stream, **arrays)
    os.replace(unfinished, file)


def _read(file: Path) -> Arrays:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise StageError(f"stages: {file} cannot be read: {error}; delete it to make it again") from error
