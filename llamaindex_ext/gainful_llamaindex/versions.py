"""Installed versions that are known not to work together. One warning each, where the host itself says little."""

import functools
import warnings
from importlib.metadata import version

from packaging.specifiers import SpecifierSet

__all__ = ["known_problems", "warn_of_known_problems"]


def known_problems() -> list[tuple[str, str]]:
    """(what is wrong, how to mend it) for the versions installed here."""
    pydantic, core = version("pydantic"), version("llama-index-core")
    found = []
    if pydantic in SpecifierSet(">=2.14", prereleases=True) and core in SpecifierSet("<=0.14.25", prereleases=True):
        found.append(
            (
                f"llama-index-core {core} with pydantic {pydantic} loses chat memory between turns",
                "pip install 'pydantic<2.14'",
            )
        )
    return found


@functools.cache
def warn_of_known_problems() -> None:
    """Warn once per process."""
    for problem, remedy in known_problems():
        warnings.warn(f"gainful: {problem}; {remedy}", UserWarning, stacklevel=3)
