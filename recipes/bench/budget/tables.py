"""Tables as Markdown, which a terminal shows as well as a file."""

from collections.abc import Iterable, Sequence

from headroom import DEPTHS, Row


def markdown(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """One table; every column but the first is aligned to the right."""
    rule = ["---", *["---:"] * (len(headers) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headers, rule, *rows])


def headroom_table(rows_of: dict[str, list[Row]]) -> str:
    """All-gold recall by depth, one block of rows per set."""
    headers = ["set", "searches", *(f"{depth} passage{'s' * (depth > 1)}" for depth in DEPTHS)]
    rows = [[name, row.name, *(f"{value:.3f}" for value in row.recall)] for name, of in rows_of.items() for row in of]
    return markdown(headers, rows)
