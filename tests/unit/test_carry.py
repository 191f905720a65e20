"""Values of turns inside a reward row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainful.carry import LIMIT, MARKER, STEP, carriable, carry, runs
from gainful.errors import InputError

MASKS = st.lists(st.integers(0, 1), max_size=40)


def test_runs_are_the_ones_of_a_mask():
    assert runs([0, 1, 1, 0, 0, 1, 0, 7]).tolist() == [[1, 3], [5, 6], [7, 8]]
    assert runs([]).tolist() == runs([0, 0]).tolist() == []
    assert carriable(runs([1, 1, 0, 1, 0, 1])).tolist() == [True, False]


def test_a_value_stands_at_the_end_and_its_negative_at_the_start():
    turns = runs([1, 1, 1, 0, 1, 1, 0, 1, 0, 1])
    assert list(carry(turns, [0.25, None, 0.5])) == [(2, 0.25), (0, -0.25), (5, MARKER), (4, -MARKER)]


@given(MASKS, st.data())
def test_a_row_keeps_its_sum_exactly(mask, data):
    turns = runs(mask)
    value = st.none() | st.floats(-1e6, 1e6)
    values = data.draw(st.lists(value, min_size=max(len(turns) - 1, 0), max_size=max(len(turns) - 1, 0)))
    row = np.zeros(len(mask), dtype=np.float32)
    if mask:
        row[-1] = 1.0
    for token, part in carry(turns, values):
        row[token] += np.float32(part)
        assert abs(part) == MARKER or abs(part) <= LIMIT
        assert part / STEP == round(part / STEP)
    assert row.sum(dtype=np.float32) == (1.0 if mask else 0.0)


@pytest.mark.parametrize("values", [[], [0.1, 0.2], [float("nan")], [float("inf")]])
def test_what_does_not_fit_is_refused(values):
    with pytest.raises(InputError, match="carry"):
        list(carry(runs([1, 1, 0, 1]), values))
