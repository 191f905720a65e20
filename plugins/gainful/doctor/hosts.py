"""One host: is its version ours, does it find our entry point, and what does our adapter find in it?"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, entry_points
from importlib.util import find_spec

from gainful.doctor.findings import Finding, read_answer
from gainful.doctor.installation import REINSTALL
from gainful.errors import HostVersionError
from gainful.hosts import HOSTS, HostStatus, check

__all__ = ["examine_host"]

_ANSWER_SECONDS = 180


def examine_host(name: str, *, wanted: bool = False, probe: bool = False) -> Iterator[Finding]:
    """Version, entry point, and what the adapter itself finds, for one key of `gainful.hosts.HOSTS`.

    Args:
        name: Key of the host.
        wanted: Whether it was asked for by name, so that its absence is a problem.
        probe: Also let the adapter try something in the host.
    """
    try:
        status = check(name)
    except (HostVersionError, PackageNotFoundError) as error:
        yield Finding(name, "problem", f"its supported range is unknown: {error}", REINSTALL)
        return
    if not status.installed:
        remedy = f"pip install 'gainful[{name}]'"
        detail = f"not installed (supported: {status.supported})"
        yield Finding(name, "problem" if wanted else "note", detail, remedy)
        return
    yield _version(status)
    if not status.in_range:
        return
    yield from _entry_point(name)
    yield from _ask_adapter(name, probe)


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
        yield Finding(group, "problem", "no entry point of gainful is installed, so the host loads nothing", REINSTALL)


def _ask_adapter(name: str, probe: bool) -> Iterator[Finding]:
    adapter = HOSTS[name].adapter
    if find_spec(adapter) is None:
        yield Finding(name, "problem", f"the package {adapter} is missing", REINSTALL)
        return
    modules = [f"{adapter}.doctor", *([f"{adapter}.doctor_probe"] if probe else [])]
    present = [module for module in modules if find_spec(module) is not None]
    if not present:
        yield Finding(name, "note", "this release of gainful adds nothing to it yet")
    for module in present:
        yield from _ask(name, module)


def _ask(name: str, module: str) -> Iterator[Finding]:
    by_hand = f"{sys.executable} -m {module}"
    try:
        done = _run([sys.executable, "-m", module])
    except subprocess.TimeoutExpired:
        yield Finding(name, "problem", f"no answer within {_ANSWER_SECONDS} s", by_hand)
        return
    found = read_answer(done.stdout)
    if done.returncode == 0 and found is not None:
        yield from found
        return
    last = (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    yield Finding(name, "problem", f"could not be asked: {last}; all of it by the command", by_hand)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)  # noqa: S603
