"""The whole examination in order, and how it is shown: what needs mending first of all."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gainful.catalog import catalog
from gainful.doctor.findings import Finding
from gainful.doctor.hosts import examine_host
from gainful.doctor.installation import INSTALL, examine_extras, examine_installation
from gainful.doctor.plugins import examine_plugins
from gainful.doctor.probes import probe_store, probe_systems
from gainful.hosts import HOSTS, check

__all__ = ["examine", "show"]

Parts = Mapping[str, list[Finding]]
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def examine(host: str | None = None, *, probe: bool = False, store_url: str | None = None) -> dict[str, list[Finding]]:
    """All findings by part: gainful, its plug-ins, each host; optional parts where no host is named.

    Raises:
        ConfigError: An unknown host.
    """
    if host is not None and host not in HOSTS:
        check(host)  # raises, with the known ones
    parts = {"gainful": list(examine_installation())}
    if any(finding.remedy == INSTALL for finding in parts["gainful"]):
        return parts  # nothing else can be said
    parts["plug-ins"] = list(examine_plugins(catalog()))
    if not host:
        parts["optional parts"] = list(examine_extras(catalog()))
    for name in [host] if host else HOSTS:
        parts[name] = list(examine_host(name, wanted=bool(host), probe=probe))
    if probe or store_url:
        probes = [*(probe_systems() if probe else ()), *([probe_store(store_url)] if store_url else ())]
        parts["live"] = probes
    return parts


def show(parts: Parts, console: Console) -> None:
    """Print a table per part. Where there is a problem, what is in order is only counted: a screen has few lines."""
    num_problems = sum(finding.state == "problem" for findings in parts.values() for finding in findings)
    for part, findings in parts.items():
        table = Table(title=part, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column()
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        shown = [finding for finding in findings if not num_problems or finding.state == "problem"]
        for finding in shown:
            text = finding.detail + (f"\n→ {finding.remedy}" if finding.remedy else "")
            table.add_row(Text(finding.state, _COLOURS[finding.state]), Text(finding.subject), Text(text))
        if shown:
            console.print(table)
            console.print()
    if num_problems:
        console.print(_count(parts, num_problems))


def _count(parts: Parts, num_problems: int) -> Text:
    states = [finding.state for findings in parts.values() for finding in findings]
    rest = f"{states.count('note')} notes, {states.count('ok')} in order: gainful doctor --json lists them"
    return Text(f"{num_problems} problem{'s' if num_problems > 1 else ''}; {rest}", "dim")
