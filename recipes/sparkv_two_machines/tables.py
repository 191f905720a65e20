"""The tables that the command prints."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from scenario import Row
from serving import Server

ROUTES = ("computed", "streamed", "local", "failed")


def phases(rows: Sequence[Row]) -> Table:
    """What happened, phase by phase, as Markdown."""
    table = Table(box=box.MARKDOWN)
    for name in ("phase", "machine", "same tokens", "computed", "streamed", "TTFT s", "MB to machine 2", "went wrong"):
        table.add_column(name, justify="left" if name in ("phase", "went wrong") else "right")
    for row in rows:
        table.add_row(
            row.phase,
            str(row.machine),
            f"{row.num_same} of {row.num_requests}" if row.num_same is not None else "first",
            f"{row.tokens['computed']:,}",
            f"{row.tokens['streamed']:,}",
            f"{row.ttft_s:.2f}",
            f"{row.cable_bytes / 1e6:.1f}",
            ", ".join(f"{reason}: {times}" for reason, times in sorted(row.failures.items())) or "-",
        )
    return table


def routes(servers: Sequence[Server]) -> Table:
    """Tokens by route, as each server's page of metrics has them; nudges of one token are among them."""
    table = Table("gainful:sparkv_tokens_total", box=box.MARKDOWN)
    for route in ROUTES:
        table.add_column(route, justify="right")
    for number, server in enumerate(servers, start=1):
        found = server.by_label("gainful:sparkv_tokens_total", "route")
        table.add_row(f"machine {number}", *(f"{found[route]:,}" for route in ROUTES))
    return table
