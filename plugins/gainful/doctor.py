"""Is everything that is installed also usable? Findings, each with the command that mends it.

The core knows no host: an adapter's own questions live in its module `doctor`, which runs in a fresh interpreter and
answers in JSON.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Literal

from gainful.catalog import Catalog, catalog
from gainful.errors import MissingExtraError
from gainful.hosts import HOSTS, HostStatus, check
from gainful.loading import DISABLE_VARIABLE

__all__ = ["Finding", "answer", "examine_host", "examine_plugins"]

State = Literal["ok", "note", "problem"]
_PROBE_SECONDS = 180
_MARKER = "gainful-doctor:"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    detail: str
    remedy: str = ""


def examine_plugins(found: Catalog | None = None) -> Iterator[Finding]:
    """One finding per plug-in that was loaded, failed or was switched off."""
    found = found or catalog()
    failed = {failure.plugin for failure in found.failures}
    for plugin in found.plugins:
        if plugin.name not in failed:
            yield Finding(plugin.name, "ok", f"{plugin.module} ({plugin.distribution or 'passed in by hand'})")
    for failure in found.failures:
        missing_extra = isinstance(failure.error, MissingExtraError)
        distribution = failure.distribution.partition(" ")[0]
        remedy = f"pip install --upgrade {distribution}, or switch it off: {DISABLE_VARIABLE}={failure.plugin}"
        yield Finding(
            failure.plugin,
            "note" if missing_extra else "problem",
            f"{failure} ({type(failure.error).__name__})",
            "" if missing_extra else remedy,
        )
    for name in found.disabled:
        yield Finding(name, "note", f"switched off by {DISABLE_VARIABLE}")


def examine_host(name: str) -> Iterator[Finding]:
    """Version, entry point, and what the adapter itself finds, for one key of `hosts.HOSTS`."""
    status = check(name)
    if not status.installed:
        yield Finding(name, "note", f"not installed (supported: {status.supported})", f"pip install 'gainful[{name}]'")
        return
    yield _version(status)
    if not status.in_range:
        return
    yield from _entry_point(name)
    yield from _ask_adapter(name)


def answer(findings: Iterable[Finding]) -> None:
    """Print the findings of an adapter's `doctor` module for `examine_host` to read."""
    print(_MARKER + json.dumps([asdict(finding) for finding in findings]))  # noqa: T201 (the channel)


def _version(status: HostStatus) -> Finding:
    detail = f"{status.distribution} {status.version}, supported: {status.supported}"
    if status.in_range:
        return Finding(status.name, "ok", detail)
    remedy = f"pip install '{status.distribution}{status.supported}'"
    return Finding(status.name, "problem", detail, remedy)


def _entry_point(name: str) -> Iterator[Finding]:
    group = HOSTS[name].entry_point_group
    if not group:
        return
    ours = [point.value for point in entry_points(group=group) if point.value.startswith(HOSTS[name].adapter)]
    if ours:
        yield Finding(group, "ok", ours[0])
    else:
        yield Finding(
            group, "problem", "no entry point of gainful is installed", "pip install --force-reinstall gainful"
        )


def _ask_adapter(name: str) -> Iterator[Finding]:
    module = f"{HOSTS[name].adapter}.doctor"
    if find_spec(HOSTS[name].adapter) is None or find_spec(module) is None:
        yield Finding(name, "note", "this release of gainful adds nothing to it yet")
        return
    try:
        done = _run([sys.executable, "-m", module])
    except subprocess.TimeoutExpired:
        yield Finding(name, "problem", f"no answer within {_PROBE_SECONDS} s", f"{sys.executable} -m {module}")
        return
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARKER)]
    if done.returncode == 0 and lines:
        yield from (Finding(**finding) for finding in json.loads(lines[-1].removeprefix(_MARKER)))
        return
    last = (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    yield Finding(name, "problem", f"could not be asked: {last}", f"{sys.executable} -m {module}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)  # noqa: S603
