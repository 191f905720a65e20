"""An answer that needs no model."""

from gainful.budget.commit import ABSTENTION
from gainful.budget.fallback import fallback_text


def test_nothing_found_is_an_abstention():
    assert fallback_text([]) == ABSTENTION


def test_the_latest_texts_are_shown_from_their_beginning():
    lines = fallback_text([*"abcdef", "x" * 400]).splitlines()
    assert lines == [ABSTENTION, "Found until then:", "[1] c", "[2] d", "[3] e", "[4] f", "[5] " + "x" * 300]
