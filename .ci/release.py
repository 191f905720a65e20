"""Is this commit fit to be released? Runs every step, prints one line each, and ends with status 1 if one failed.

python .ci/release.py               # all steps
python .ci/release.py build wheel   # some of them
"""

import atexit
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import tomllib
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
PACKAGES = [Path(folder) for folder in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
BESIDE_PACKAGES = {"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
DIST_INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


class NotReadyError(Exception):
    """What keeps the release back."""


def version() -> str:
    """A final version with a dated section of the change log, which says what hosts it is for."""
    if Version(VERSION).is_prerelease or Version(VERSION).is_devrelease or str(Version(VERSION)) != VERSION:
        raise NotReadyError(f"{VERSION} in pyproject.toml is no final version as X.Y.Z")
    section = re.search(
        rf"^## {re.escape(VERSION)} \(\d{{4}}-\d\d-\d\d\)$(.*?)(?=^## |\Z)",
        (ROOT / "CHANGELOG.md").read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    if not section:
        raise NotReadyError(f"CHANGELOG.md has no heading '## {VERSION} (YYYY-MM-DD)'; rename Unreleased")
    if "### Hosts" not in section[1]:
        raise NotReadyError(f"CHANGELOG.md does not say under {VERSION} which hosts it was tested with: '### Hosts'")
    return VERSION


def tree() -> str:
    """Everything committed, and no other commit tagged with this version."""
    changed = run("git", "status", "--porcelain").splitlines()
    if changed:
        raise NotReadyError(f"{len(changed)} paths are not committed, the first: {changed[0]}")
    head, tag = run("git", "rev-parse", "HEAD").strip(), f"v{VERSION}"
    tagged = run("git", "tag", "--list", tag, "--format=%(objectname)%(*objectname)")
    if tagged and head not in tagged:
        raise NotReadyError(f"{tag} is the tag of another commit; raise the version")
    return head


def generated() -> str:
    """Tables and pages that scripts write are what the scripts would write now."""
    scripts = sorted(
        path for path in (ROOT / ".ci").glob("*.py") if "--check" in path.read_text() and path != Path(__file__)
    )
    for script in scripts:
        run(sys.executable, str(script), "--check")
    return ", ".join(script.name for script in scripts)


def build() -> str:
    """Source archive and wheel, built here and again from the unpacked archive in another place: the same bytes."""
    again = made_again()
    for path in made():
        if not filecmp.cmp(path, again / path.name, shallow=False):
            raise NotReadyError(f"{path.name} has other bytes when it is built from its own source archive")
    return ", ".join(path.name for path in made())


def wheel() -> str:
    """The four packages as they are here, with their marker of types, and nothing else."""
    expected = {name.split("/", 1)[1] for name in package_files()}
    expected |= {f"gainful-{VERSION}.dist-info/{name}" for name in DIST_INFO}
    found = set(zipfile.ZipFile(one("*.whl")).namelist())
    same(found, expected)
    same(
        {package.name for package in PACKAGES} - {name.split("/")[0] for name in found if name.endswith("/py.typed")},
        set(),
    )
    return f"{len(found)} files"


def sdist() -> str:
    """What a wheel is built from, and what a reader of the archive needs."""
    with tarfile.open(one("*.tar.gz")) as archive:
        found = {name.split("/", 1)[1] for name in archive.getnames()}
    same(found, package_files() | BESIDE_PACKAGES)
    return f"{len(found)} files"


def install() -> str:
    """Into an empty environment, where no host is: the doctor finds nothing to mend."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        run(f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(one("*.whl")))
        run(f"{folder}/bin/python", "-m", "pip", "check")
        run(f"{folder}/bin/gainful", "doctor", "--probe")
        run(f"{folder}/bin/gainful", "plugins")
        found = run(f"{folder}/bin/python", "-c", "import gainful; print(gainful.__version__)").strip()
    if found != VERSION:
        raise NotReadyError(f"what was installed says version {found}, pyproject.toml says {VERSION}")
    return found


def site() -> str:
    """The pages build without a warning."""
    run("make", "docs-site")
    return "out/site"


STEPS: dict[str, Callable[[], str]] = {
    step.__name__: step for step in (version, tree, generated, build, wheel, sdist, install, site)
}


def main(names: list[str]) -> int:
    failed = 0
    for name in names or STEPS:
        try:
            print(f"ok      {name}: {STEPS[name]()}", flush=True)
        except NotReadyError as error:
            failed += 1
            print(f"FAILED  {name}: {error}", flush=True)
    return min(failed, 1)


@cache
def made() -> list[Path]:
    """Source archive and wheel."""
    folder = scratch()
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder))
    return sorted(folder.iterdir())


def made_again() -> Path:
    folder = scratch()
    with tarfile.open(one("*.tar.gz")) as archive:
        archive.extractall(folder / "source", filter="data")
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-d",
        str(folder / "built"),
        where=next((folder / "source").iterdir()),
    )
    return folder / "built"


def scratch() -> Path:
    """A folder that is gone when this program ends."""
    folder = tempfile.mkdtemp(prefix="gainful-release-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def one(pattern: str) -> Path:
    return next(path for path in made() if path.match(pattern))


def package_files() -> set[str]:
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    return {str(path.relative_to(ROOT)) for path in files if path.is_file() and "__pycache__" not in path.parts}


def same(found: set[str], expected: set[str]) -> None:
    if found != expected:
        raise NotReadyError(f"missing: {sorted(expected - found)}; too much: {sorted(found - expected)}")


def run(*command: str, where: Path = ROOT, **variables: str) -> str:
    """Output of a command; its last lines are the reason if it fails."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time(), "PYTHONPATH": "", **variables}
    done = subprocess.run(command, capture_output=True, text=True, cwd=where, env=environment)
    if done.returncode:
        raise NotReadyError(f"{' '.join(command)}: " + " | ".join((done.stdout + done.stderr).splitlines()[-4:]))
    return done.stdout


@cache
def commit_time() -> str:
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip() or "315532800"  # 1980, the least that a wheel can say, where no commit is


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
