"""The line protocol of a proposal: `FOUND: <span>` (optional), then `NEXT: <query>` or `DONE: <answer>`."""

import re
from typing import NamedTuple

__all__ = ["Proposal", "parse_critic_score", "parse_proposal"]

_LINE = re.compile(r"^[ \t>*-]{0,8}(FOUND|NEXT|DONE)[ \t*]{0,4}:[ \t*]{0,4}(.*)$", re.IGNORECASE | re.MULTILINE)
_SCORE = re.compile(r"\b(\d{1,3})(?:\.\d{1,9})?\b")
_NOTHING = frozenset({"", "none", "n/a", "nothing", "unknown"})


class Proposal(NamedTuple):
    """What a proposal says; empty strings for what it does not. All empty: it could not be read."""

    found: str = ""
    next_query: str = ""
    done: str = ""


def parse_proposal(text: str) -> Proposal:
    """Read the first FOUND line and the first line of NEXT or DONE; anything else is dropped."""
    lines = [(key.upper(), value.strip().strip("\"'`<>[]").strip()) for key, value in _LINE.findall(text)]
    lines = [(key, value) for key, value in lines if value.lower() not in _NOTHING]
    found = next((value for key, value in lines if key == "FOUND"), "")
    end, content = next(((key, value) for key, value in lines if key != "FOUND"), ("", ""))
    return Proposal(found, content if end == "NEXT" else "", content if end == "DONE" else "")


def parse_critic_score(text: str) -> float | None:
    """The first number of 0 to 100 as a share; None if there is none."""
    numbers = [int(found) for found in _SCORE.findall(text)]
    return next((number / 100 for number in numbers if number <= 100), None)
