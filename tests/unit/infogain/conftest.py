"""A judge with given values, and samples from counts."""

import pytest

from gainful.infogain import AnswerSample, Missing


class StubJudge:
    """Looks pairs up in a table or asks a function; keeps what it was asked."""

    name = "stub"
    revision = "1"

    def __init__(self, values):
        self._values = values
        self.asked = []

    def entail(self, question, pairs):
        self.asked += [(question, *pair) for pair in pairs]
        return [self._value(pair) for pair in pairs]

    def _value(self, pair):
        value = self._values(*pair) if callable(self._values) else self._values[pair]
        return value if isinstance(value, Missing) else float(value)


@pytest.fixture
def stub():
    return StubJudge


@pytest.fixture
def drawn():
    """`drawn({"paris": 3, "lyon": 1})`: four samples."""
    return lambda counts: [AnswerSample(text) for text, count in counts.items() for _ in range(count)]
