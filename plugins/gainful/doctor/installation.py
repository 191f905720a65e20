"""gainful itself: is it installed, are its dependencies those it declares, and which optional parts are there?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from gainful.catalog import Catalog, catalog
from gainful.doctor.findings import Finding

__all__ = ["INSTALL", "REINSTALL", "Need", "examine_extras", "examine_installation", "needs"]

INSTALL = "pip install gainful"
REINSTALL = "pip install --force-reinstall --no-deps gainful"
_PURPOSES = {
    "retrieval": "BM25, gainful retrieve",
    "zstd": "compressed frames of KV chunks",
    "encryption": "sealed frames of KV chunks",
    "otel": "spans of LlamaIndex agents",
}
"""What an extra is for, where no name in the catalogue says so."""


@dataclass(frozen=True, slots=True)
class Need:
    """One requirement of a distribution, and what is installed for it; `found` is empty if nothing is."""

    requirement: Requirement
    found: str

    @property
    def met(self) -> bool:
        return bool(self.found) and self.requirement.specifier.contains(self.found, prereleases=True)

    def __str__(self) -> str:
        wanted = f"{self.requirement.name}{self.requirement.specifier}"
        return f"{wanted} ({self.found} is installed)" if self.found else wanted


def needs(distribution: str, extra: str = "") -> list[Need]:
    """What the metadata of a distribution requires: always, or only with one of its extras."""
    found = []
    for line in requires(distribution) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        applies = always if not extra else not always and marker is not None and marker.evaluate({"extra": extra})
        if applies:
            found.append(Need(requirement, _installed(requirement.name)))
    return found


def examine_installation() -> Iterator[Finding]:
    """One finding for gainful, and one for each dependency that is missing or has another version than it may have."""
    try:
        base = needs("gainful")
    except PackageNotFoundError:
        yield Finding("gainful", "problem", "imported, but not installed: no host can find it", INSTALL)
        return
    unmet = [need for need in base if not need.met]
    if not unmet:
        yield Finding("gainful", "ok", f"{version('gainful')}, {len(base)} dependencies in range")
    for need in unmet:
        remedy = f"pip install '{need.requirement.name}{need.requirement.specifier}'"
        yield Finding("gainful", "problem", f"{version('gainful')} needs {need}", remedy)


def examine_extras(found: Catalog | None = None) -> Iterator[Finding]:
    """One finding per optional part: of gainful, and of plug-ins that name an extra for what they offer."""
    found = found or catalog()
    homes = {plugin.name: plugin.distribution.partition(" ")[0] for plugin in found.plugins}
    purposes = {("gainful", extra): purpose for extra, purpose in _PURPOSES.items()} | _users(found, homes)
    for (distribution, extra), purpose in purposes.items():
        yield _extra(distribution, extra, purpose)


def _extra(distribution: str, extra: str, purpose: str) -> Finding:
    declared = needs(distribution, extra)
    if not declared:
        detail = f"{purpose}: the metadata of {distribution} declares no extra {extra!r}"
        return Finding(extra, "note", detail, f"pip install --force-reinstall --no-deps {distribution}")
    unmet = [need for need in declared if not need.met]
    if not unmet:
        return Finding(extra, "ok", purpose)
    detail = f"{purpose}: not usable without {', '.join(map(str, unmet))}"
    return Finding(extra, "note", detail, f"pip install '{distribution}[{extra}]'")


def _users(found: Catalog, homes: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """(distribution, extra) -> the names in the catalogue that need it."""
    names: dict[tuple[str, str], list[str]] = {}
    for kind, table in (("judge", found.matchers), ("store", found.stores)):
        for entry in table.values():
            if entry.extra and homes.get(entry.plugin):
                names.setdefault((homes[entry.plugin], entry.extra), []).append(f"{kind} {entry.name}")
    return {key: ", ".join(users) for key, users in names.items()}


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
