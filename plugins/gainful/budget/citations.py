"""Citations of an answer: `[n]` counts the passages in the order in which the model saw them."""

import re
from collections.abc import Sequence

__all__ = ["split_citations"]

_CITATION = re.compile(r"\s{0,4}\[(\d{1,4}(?:\s{0,4},\s{0,4}\d{1,4}){0,20})\]")


def split_citations(text: str, evidence_ids: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The text without its citations, and the distinct evidence ids cited; numbers of no passage are dropped."""
    numbers = [int(number) for group in _CITATION.findall(text) for number in group.split(",")]
    cited = [evidence_ids[number - 1] for number in numbers if 0 < number <= len(evidence_ids)]
    return " ".join(_CITATION.sub("", text).split()), tuple(dict.fromkeys(cited))
