"""Plug-ins: which were loaded and what they offer, which were refused and why, which are switched off."""

import os
from collections.abc import Iterator

from gainful.catalog import Catalog, Plugin, PluginFailure, catalog
from gainful.doctor.findings import Finding
from gainful.doctor.installation import REINSTALL
from gainful.errors import DuplicateNameError, MissingExtraError, did_you_mean
from gainful.loading import BUILTIN, DISABLE_VARIABLE

__all__ = ["examine_plugins"]

_KINDS = ("advantages", "matchers", "value_models", "cost_models", "stores")
_MOST_NAMES = 6


def examine_plugins(found: Catalog | None = None) -> Iterator[Finding]:
    """One finding per plug-in that was loaded, failed or was switched off, and per name that switches nothing off."""
    found = found or catalog()
    failed = {failure.plugin for failure in found.failures}
    for plugin in found.plugins:
        if plugin.name not in failed:
            yield Finding(plugin.name, "ok", _offer(plugin, found))
    for failure in found.failures:
        yield _refused(failure)
    for name in found.disabled:
        yield Finding(name, "note", f"switched off by {DISABLE_VARIABLE}", f"unset {DISABLE_VARIABLE}")
    yield from _switches(found)
    known = {plugin.name for plugin in found.plugins} | failed | set(found.disabled)
    if BUILTIN not in known:
        yield Finding(BUILTIN, "problem", "gainful's own plug-in has no entry point, so no method is known", REINSTALL)


def _offer(plugin: Plugin, found: Catalog) -> str:
    """Where it comes from and the names it registered, or their number."""
    home = f"{plugin.module} ({plugin.distribution or 'passed in by hand'})"
    tables = {kind: [n for n, entry in getattr(found, kind).items() if entry.plugin == plugin.name] for kind in _KINDS}
    offered = {kind.replace("_", " "): names for kind, names in tables.items() if names}
    if not offered:
        return f"{home}: registers no name"
    if sum(map(len, offered.values())) <= _MOST_NAMES:
        return f"{home}: " + ", ".join(name for names in offered.values() for name in names)
    return f"{home}: " + ", ".join(f"{len(names)} {kind}" for kind, names in offered.items())


def _refused(failure: PluginFailure) -> Finding:
    detail = f"{failure} ({type(failure.error).__name__})"
    if isinstance(failure.error, MissingExtraError):
        what, _, remedy = detail.rpartition("; pip install ")
        return Finding(
            failure.plugin, "note", what or detail, f"pip install {remedy.partition(' (')[0]}" if what else ""
        )
    return Finding(failure.plugin, "problem", detail, _remedy(failure))


def _remedy(failure: PluginFailure) -> str:
    """One command; what cannot be mended from here is switched off."""
    off = f"export {DISABLE_VARIABLE}={','.join([*_blocked(), failure.plugin])}"
    home = failure.distribution.partition(" ")[0]
    if isinstance(failure.error, DuplicateNameError) or not home:
        return off
    if failure.plugin == BUILTIN:
        return REINSTALL
    return f"pip install --upgrade {home}, or without it: {off}"


def _switches(found: Catalog) -> Iterator[Finding]:
    known = [*(plugin.name for plugin in found.plugins), *(failure.plugin for failure in found.failures)]
    for name in _blocked():
        if name not in found.disabled:
            hint = did_you_mean(name, known) or ";"
            detail = f"{DISABLE_VARIABLE} names {name!r}, which is no plug-in{hint} known: {', '.join(known)}"
            yield Finding(DISABLE_VARIABLE, "note", detail, f"unset {DISABLE_VARIABLE}")


def _blocked() -> list[str]:
    names = (name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(","))
    return [name for name in names if name]
