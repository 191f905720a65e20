"""Would the newest release of each host work? Tries it in a copy of this commit whose range has no upper bound.

python .ci/newest.py                        # every host whose newest release is not among the tested ones
python .ci/newest.py verl vllm              # some of them
python .ci/newest.py llamaindex==0.14.12    # one version, tested or not
python .ci/newest.py --full verl            # all tests of the host, not only its contract and what is registered

Ends with status 1 if a release does not work. It is no part of the pipeline: what others publish must not break ours.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from gainful.hosts import HOSTS, check

ROOT = Path(__file__).parents[1]
QUICK = ("test_host_contract.py", "test_registration.py", "test_package.py", "test_plugin.py")
"""Test files that say within minutes whether what we rely on is still there."""


@dataclass(frozen=True)
class Outcome:
    """One release and what became of it."""

    distribution: str
    version: str
    works: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.works else 'FAILED'}  {self.distribution} {self.version}: {self.detail}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", default=list(HOSTS), metavar="HOST[==VERSION]")
    parser.add_argument("--full", action="store_true", help="run all tests of the host")
    given = parser.parse_args(arguments)
    works = True
    for wanted in given.hosts:
        host, _, version = wanted.partition("==")
        check(host)
        for outcome in outcomes(host, version, given.full):
            works &= outcome.works
            print(outcome, flush=True)
    return 0 if works else 1


def outcomes(host: str, version: str, full: bool) -> Iterator[Outcome]:
    requirements = (ROOT / f".ci/{host}.latest.txt").read_text()
    tried, tested = pinned(host, requirements)
    for distribution in HOSTS[host].distributions:
        found = version or newest(distribution)
        if distribution != tried:
            if not version:
                inside = "within" if in_range(host, found) else "beyond"
                yield Outcome(
                    distribution, found, True, f"not tried, {tried} stands for it; {inside} the supported range"
                )
        elif found == tested and not version:
            yield Outcome(distribution, found, True, "the newest release, and the one that is tested")
        else:
            yield trial(host, distribution, found, requirements, full)


def pinned(host: str, requirements: str) -> tuple[str, str]:
    """Distribution and version that the newest row of the matrix installs."""
    names = "|".join(HOSTS[host].distributions)
    found = re.search(rf"^({names})==(\S+)", requirements, flags=re.MULTILINE)
    if not found:
        raise SystemExit(f".ci/{host}.latest.txt pins none of {names}")
    return found[1], found[2]


def newest(distribution: str) -> str:
    """Version that pip would install here."""
    command = ["install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report", "-", distribution]
    report = run([sys.executable, "-m", "pip", *command], ROOT)
    if report.returncode:
        raise SystemExit(f"{distribution}: {report.stderr.strip().splitlines()[-1]}")
    return json.loads(report.stdout)["install"][0]["metadata"]["version"]


def in_range(host: str, version: str) -> bool:
    return SpecifierSet(check(host).supported).contains(version, prereleases=True)


def trial(host: str, distribution: str, version: str, requirements: str, full: bool) -> Outcome:
    """Install that release beside this commit, ask the doctor, run the host's tests."""
    with tempfile.TemporaryDirectory(prefix=f"gainful-newest-{host}-") as folder:
        here = Path(folder)
        copy(here / "gainful", host)
        venv.create(here / "venv", with_pip=True)
        python = str(here / "venv/bin/python")
        wanted = re.sub(rf"^{distribution}==\S+", f"{distribution}=={version}", requirements, flags=re.MULTILINE)
        (here / "requirements.txt").write_text(wanted)
        steps = {
            "pip": ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "../requirements.txt"],
            "doctor": ["-m", "gainful", "doctor", host, "--probe"],
            "tests": [
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-m",
                "not slow",
                *tests(here / "gainful", host, full),
            ],
        }
        for step, command in steps.items():
            done = run([python, *command], here / "gainful", GAINFUL_EXPECT_HOSTS=host)
            if done.returncode:
                return Outcome(distribution, version, False, f"{step}:\n{last_lines(done)}")
        detail = f"doctor and tests pass: {done.stdout.strip().splitlines()[-1]}"
        if not in_range(host, version):
            detail += f"; the range {check(host).supported} can be widened"
        return Outcome(distribution, version, True, detail)


def copy(target: Path, host: str) -> None:
    """This commit, its range for the host without an end."""
    archive = subprocess.run(["git", "archive", "HEAD"], capture_output=True, check=True, cwd=ROOT).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(target, filter="data")
    project = target / "pyproject.toml"
    text, count = re.subn(rf'("{HOSTS[host].distributions[0]})[<>=][^"]*"', r'\1>=0"', project.read_text())
    if not count:
        raise SystemExit(f"pyproject.toml: no range for {HOSTS[host].distributions[0]}")
    project.write_text(text)


def tests(copied: Path, host: str, full: bool) -> list[str]:
    folder = copied / "tests" / host
    return [str(folder)] if full else [str(folder / name) for name in QUICK if (folder / name).exists()]


def run(command: list[str], where: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "", **variables}
    return subprocess.run(command, capture_output=True, text=True, cwd=where, env=environment)


def last_lines(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and "WARNING" not in line]
    return "\n".join(f"        {line}" for line in lines[-12:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
