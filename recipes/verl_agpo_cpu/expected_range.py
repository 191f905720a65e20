"""Compares a run's summary with saved ranges, so that a recipe's figures can be checked by a command."""

from typing import Any


def value_at(record: Any, path: str) -> float:
    """The number that a dotted path such as `after.pass_at.16` leads to.

    Raises:
        KeyError: The path leads nowhere.
    """
    for name in path.split("."):
        try:
            record = record[name]
        except (KeyError, TypeError):
            raise KeyError(f"expected_range: the summary has no {path!r}, {name!r} is missing") from None
    return record


def misses(summary: dict[str, Any], ranges: dict[str, tuple[float, float]]) -> list[str]:
    """One line for every figure outside its range; empty when all is well.

    Args:
        summary: What `train.py` writes.
        ranges: Dotted path -> lowest and highest value allowed.
    """
    lines = []
    for path, (lowest, highest) in ranges.items():
        value = value_at(summary, path)
        if not lowest <= value <= highest:
            lines.append(f"{path}: expected {lowest:g} to {highest:g}, found {value:g}")
    return lines
