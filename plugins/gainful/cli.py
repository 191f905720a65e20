"""`gainful plugins` lists what can be chosen; `gainful doctor` says whether it works here; `gainful score` measures."""

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from gainful.builtin import NOT_IMPLEMENTED
from gainful.catalog import Catalog, catalog
from gainful.config import Options
from gainful.doctor.examination import examine, show
from gainful.errors import ConfigError, GainfulError
from gainful.hosts import HOSTS
from gainful.retrieval.command import app as retrieve
from gainful.sparkv.command import app as sparkv

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Spend compute only where it is gainful.")
app.add_typer(retrieve, name="retrieve")
app.add_typer(sparkv, name="sparkv")


class OnMissing(str, Enum):
    """What a missing gain does."""

    keep = "keep"
    fail = "fail"


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command()
def plugins(as_json: AsJson = False) -> None:
    """List every method that can be chosen by name, and the plug-ins that offer it."""
    found = catalog()
    if as_json:
        typer.echo(json.dumps(_methods(found), indent=2))
        return
    console = Console()
    console.print(_methods_table(found))
    for name, reason in NOT_IMPLEMENTED.items():
        console.print(Text(f"{name}: not implemented, {reason}", "dim"))
    for failure in found.failures:
        console.print(Text(str(failure), "red"))


@app.command()
def doctor(
    host: Annotated[str | None, typer.Argument(help=f"Look at one host only: {', '.join(HOSTS)}.")] = None,
    as_json: AsJson = False,
    probe: Annotated[bool, typer.Option("--probe", help="Also try each system once, for real.")] = False,
    store: Annotated[str | None, typer.Option(help="Write to the store of this URL, read back and remove.")] = None,
) -> None:
    """Say what is installed, what is usable, what is refused and why, and which command mends it.

    Ends with status 0 if all is in order, with 1 if there is a problem, and with 2 if it was asked wrongly.
    """
    try:
        parts = examine(host, probe=probe, store_url=store)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        typer.echo(json.dumps({part: [asdict(item) for item in items] for part, items in parts.items()}, indent=2))
    else:
        show(parts, Console())
    if any(item.state == "problem" for items in parts.values() for item in items):
        raise typer.Exit(1)


@app.command()
def score(
    source: Annotated[Path, typer.Option("--in", exists=True, dir_okay=False, help="Trajectories, one JSON a line.")],
    target: Annotated[Path, typer.Option("--out", dir_okay=False, help="Gains, one JSON a line; continued if there.")],
    kind: Annotated[str | None, typer.Option(help="shannon, gini, log, mass or likelihood.")] = None,
    judge: Annotated[str | None, typer.Option(help="normalized, containment, nli, openai or a plug-in's.")] = None,
    preset: Annotated[str | None, typer.Option(help="inforeasoner_served or inforeasoner_page.")] = None,
    probe_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server that measures absent beliefs.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model that this server knows.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Further option, as judge.model=NAME.")] = None,
    summary: Annotated[Path | None, typer.Option(help="Write means, counts and cost to this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Show the first trajectories on a page.")] = None,
    html_rows: Annotated[int, typer.Option(min=1, help="How many trajectories that page shows.")] = 20,
    on_missing: Annotated[OnMissing, typer.Option(help="What a missing gain does.")] = OnMissing.keep,
) -> None:
    """Score saved trajectories: what did each search turn take off the policy's uncertainty? Needs no trainer.

    Ends with status 2 for input that cannot be used, and with 3 for a missing gain under --on-missing fail.
    """
    from gainful.infogain.command import ScoreJob, read_settings, run
    from gainful.infogain.score import MissingUnderFailError

    given = {"kind": kind, "judge.type": judge, "preset": preset}
    given |= {"probe.endpoint_url": probe_url, "probe.endpoint_model": model}
    try:
        options = read_settings(given, settings or [])
        job = ScoreJob(source, target, options, summary, html, html_rows, on_missing.value)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("trajectories", total=source.stat().st_size)
            report = run(job, lambda num_bytes, _: progress.update(bar, completed=num_bytes))
    except (GainfulError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3 if isinstance(error, MissingUnderFailError) else 2) from error
    typer.echo(report)


def _methods(found: Catalog) -> dict[str, list[dict[str, object]]]:
    methods: list[dict[str, object]] = [
        {
            "kind": "advantages",
            "name": spec.name,
            "source": spec.source,
            "needs": list(spec.needs),
            "optional": list(spec.optional),
            "evidence": spec.evidence,
            "difference": spec.difference,
            "scope": spec.scope,
            "level": spec.level,
            "options": spec.config_cls.model_json_schema()["properties"],
            "plugin": spec.plugin,
        }
        for spec in found.advantages.values()
    ]
    for kind, table in (
        ("matchers", found.matchers),
        ("value_models", found.value_models),
        ("cost_models", found.cost_models),
        ("stores", found.stores),
    ):
        methods += [
            {"kind": kind, "name": entry.name, "source": entry.source, "extra": entry.extra, "plugin": entry.plugin}
            for entry in table.values()
        ]
    failures: list[dict[str, object]] = [
        {"plugin": failure.plugin, "hook": failure.hook, "error": str(failure)} for failure in found.failures
    ]
    return {"methods": methods, "failures": failures}


def _methods_table(found: Catalog) -> Table:
    table = Table(title="advantage estimators", title_justify="left", show_lines=True)
    for heading in ("name", "source", "needs", "evidence", "options", "plug-in"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for spec in found.advantages.values():
        cells = (spec.name, spec.source, ", ".join(spec.needs), spec.evidence, _options(spec.config_cls), spec.plugin)
        table.add_row(*(Text(cell or "-") for cell in cells))
    return table


def _options(config: type[Options]) -> str:
    """One line per option with its default."""
    fields = config.model_fields.items()
    return "\n".join(
        f"{name}, required" if field.is_required() else f"{name}={field.get_default(call_default_factory=True)}"
        for name, field in fields
    )
