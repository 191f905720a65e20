"""Recounts every run from the raw logs of model and retriever. It never sees a ledger."""

from collections.abc import Iterator, Mapping
from typing import Any


def audit(row: Mapping[str, Any], tool_calls: int, output_tokens: int) -> Iterator[str]:
    """What a run did that its budget does not allow; nothing if all is well.

    Args:
        row: A run: `searches` as [query, k], `llm` as [kind, cap on the wire, output tokens, input tokens].
        tool_calls: Limit.
        output_tokens: Limit.
    """
    if len(row["searches"]) > tool_calls:
        yield f"{len(row['searches'])} searches, limit {tool_calls}"
    spent = 0
    for kind, cap, output, _ in row["llm"]:
        if cap > output_tokens - spent:
            yield f"{kind}: a cap of {cap} was sent with {output_tokens - spent} left"
        if output > cap:
            yield f"{kind}: {output} tokens came back for a cap of {cap}"
        spent += output
    if spent > output_tokens:
        yield f"{spent} output tokens, limit {output_tokens}"
