"""What a host's own loop answers when no model can."""

from collections.abc import Sequence

from gainful.budget.commit import ABSTENTION

__all__ = ["fallback_text"]

_TEXTS_SHOWN = 5
_CHARS_SHOWN = 300


def fallback_text(found: Sequence[str]) -> str:
    """That there is no answer, and the beginnings of what the tools returned last."""
    shown = [f"[{n}] {text[:_CHARS_SHOWN]}" for n, text in enumerate(found[-_TEXTS_SHOWN:], start=1)]
    return "\n".join([ABSTENTION, *(["Found until then:", *shown] if shown else [])])
