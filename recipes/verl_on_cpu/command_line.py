"""Options of a recipe, and hydra overrides for verl beside them."""

import argparse
from collections.abc import Sequence


def parse_with_overrides(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What `parser` knows; the rest goes to verl as `overrides`, and ends the program if that is not their form."""
    options, overrides = parser.parse_known_args(arguments)
    wrong = [text for text in overrides if text.startswith("-") or ("=" not in text and not text.startswith("~"))]
    if wrong:
        parser.error(f"expected hydra overrides such as key=value, got {' '.join(wrong)}")
    options.overrides = tuple(overrides)
    return options
