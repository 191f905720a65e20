"""The four budget levels of arXiv 2605.05701, as read from a note on the full text."""

__all__ = ["BUDGET_LEVELS"]

BUDGET_LEVELS = {"low": (1, 100), "low_mid": (2, 200), "high_mid": (2, 300), "high": (3, 500)}
"""Tool calls and output tokens. Origin: paper."""
