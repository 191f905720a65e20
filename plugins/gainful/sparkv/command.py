"""`gainful sparkv simulate`: what streaming beside computing would take, without an engine."""

from pathlib import Path
from typing import Annotated

import typer

from gainful.errors import GainfulError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Stream part of the KV cache, compute the rest.")


@app.callback()
def _group() -> None:
    """Keeps `simulate` a command of its own, whatever else comes beside it."""


@app.command()
def simulate(
    tokens: Annotated[int, typer.Option(min=1, max=1_000_000, help="Reusable tokens of the prompt.")] = 16384,
    mbit: Annotated[float, typer.Option(min=0.001, max=1e6, help="Bandwidth, Mbit/s.")] = 640.0,
    rtt_ms: Annotated[float, typer.Option(min=0.0, max=1e5, help="Round trip, ms.")] = 50.0,
    chunk_tokens: Annotated[int, typer.Option(min=1, max=1_000_000, help="Tokens of a chunk and of a step.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn links.")] = 0,
    trace: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Recorded link: lines seconds,Mbit/s.")
    ] = None,
    over_all: Annotated[
        bool, typer.Option("--sweep", help="Sweep bandwidth, round trip and length, at steady rates.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Draw both routes until they meet; without --sweep.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Seconds until a simulated 8B model has its prompt: plain prefill, streaming, fixed split, two pointers.

    Says nothing about an engine: no batches, no losses, no copies. Its constants are in gainful.sparkv.scenarios.
    Ends with status 2 for input that cannot be used.
    """
    from gainful.sparkv import tables
    from gainful.sparkv.scenarios import Setting, scenarios, sweep
    from gainful.sparkv.timeline import timeline_html
    from gainful.sparkv.traces import read_trace

    try:
        setting = Setting(tokens, mbit, rtt_ms, chunk_tokens)
        recorded = read_trace(trace, unit=1e6 / 8) if trace else None
        cells = list(sweep(chunk_tokens) if over_all else scenarios(setting, seed=seed, recorded=recorded))
        if html and not over_all:
            html.write_text(timeline_html(cells), encoding="utf-8")
    except (GainfulError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(tables.as_json(cells))
    elif over_all:
        tables.print_sweep(cells)
    else:
        tables.print_table(cells)
