"""Measured prefill steps of one model on one device: kept, fitted, saved and read back."""

import hashlib
import os
import tempfile
from collections import deque
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gainful.config import Options
from gainful.errors import InputError
from gainful.sparkv.costs import ComputeModel, PrefillSample, fit_compute
from gainful.sparkv.unknown import Unknown

__all__ = ["MAX_SAMPLES", "Calibration", "calibration_path", "load_calibration"]

MAX_SAMPLES = 256
"""Latest steps that are kept, so that a model follows its machine. Ours."""
_MAX_FILE_BYTES = 1 << 20

Name = Annotated[str, Field(min_length=1, max_length=500)]


class _Saved(Options):
    """What stands in the file."""

    format: Literal["gainful.sparkv.calibration"] = "gainful.sparkv.calibration"
    version: Literal[1] = 1
    model: Name
    device: Name
    samples: Annotated[tuple[PrefillSample, ...], Field(max_length=MAX_SAMPLES)]
    compute: ComputeModel | None
    """For people and other programs; reading fits anew."""


class Calibration:
    """A bounded window of measured steps with the model fitted from it.

    `observe` is cheap enough for every step. Fitting takes about a hundred microseconds, and happens in `model` when
    enough new steps came in; call it where that may be, not in a scheduler hook.
    """

    def __init__(self, model: str, device: str, *, refit_every: int = 16) -> None:
        self.model_name = model
        self.device_name = device
        self._refit_every = refit_every
        self._samples: deque[PrefillSample] = deque(maxlen=MAX_SAMPLES)
        self._num_new = 0
        self._fitted: ComputeModel | Unknown = fit_compute(())

    @property
    def samples(self) -> tuple[PrefillSample, ...]:
        """The window, oldest first."""
        return tuple(self._samples)

    @property
    def fitted(self) -> ComputeModel | Unknown:
        """The latest fit, without making a new one: for hooks."""
        return self._fitted

    def observe(self, sample: PrefillSample) -> None:
        """Remember one step; the oldest is forgotten when the window is full."""
        self._samples.append(sample)
        self._num_new += 1

    def model(self) -> ComputeModel | Unknown:
        """The model, fitted again if it is not known yet or `refit_every` steps have come in since."""
        if self._num_new and (isinstance(self._fitted, Unknown) or self._num_new >= self._refit_every):
            self._fitted = fit_compute(self._samples)
            self._num_new = 0
        return self._fitted

    def save(self, folder: Path) -> Path:
        """Write the window beside its fit: aside first, then in place, so that a reader sees the old or the new file.

        Raises:
            OSError: The folder cannot be written.
        """
        fitted = fit_compute(self._samples)
        saved = _Saved(
            model=self.model_name,
            device=self.device_name,
            samples=self.samples,
            compute=None if isinstance(fitted, Unknown) else fitted,
        )
        folder.mkdir(parents=True, exist_ok=True)
        path = calibration_path(folder, self.model_name, self.device_name)
        _write_atomically(path, saved.model_dump_json(indent=1).encode())
        return path


def calibration_path(folder: Path, model: str, device: str) -> Path:
    """Where the pair's file is: named by a digest, since names of models hold slashes."""
    digest = hashlib.blake2b(f"{len(model)}:{model}{device}".encode(), digest_size=12).hexdigest()
    return folder / f"calibration-{digest}.json"


def load_calibration(folder: Path, model: str, device: str, *, refit_every: int = 16) -> Calibration:
    """Read what `save` wrote; without a file the calibration is empty and its model `Unknown`.

    Raises:
        InputError: The file is too long, damaged, or another pair's; delete it, it will be measured anew.
        OSError: The file is there and cannot be read.
    """
    calibration = Calibration(model, device, refit_every=refit_every)
    path = calibration_path(folder, model, device)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return calibration
    for sample in _parse(path, content, model, device).samples:
        calibration.observe(sample)
    calibration.model()
    return calibration


def _parse(path: Path, content: bytes, model: str, device: str) -> _Saved:
    if len(content) > _MAX_FILE_BYTES:
        raise InputError(f"{path}: expected at most {_MAX_FILE_BYTES} bytes of calibration, got more; delete it")
    try:
        saved = _Saved.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path}: not a calibration: {place}: {first['msg']}; delete it") from error
    if (saved.model, saved.device) != (model, device):
        raise InputError(
            f"{path}: expected the calibration of {model!r} on {device!r}, got that of {saved.model!r} on "
            f"{saved.device!r}; delete it"
        )
    return saved


def _write_atomically(path: Path, content: bytes) -> None:
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
