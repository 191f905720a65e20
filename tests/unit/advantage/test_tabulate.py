"""What agent loops leave behind becomes tensors, or a clear refusal."""

import numpy as np
import pytest
import torch

from gainful.advantage.tabulate import tabulate
from gainful.errors import InputError

MASK = torch.tensor([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
NAN = torch.nan


def test_numbers_a_row_keep_their_value_and_get_the_signals_dtype():
    found = tabulate("tool_calls", [2, np.int64(0), 7], MASK)
    assert found.dtype == torch.int64
    assert found.tolist() == [2, 0, 7]
    assert tabulate("entity_match", [1, 0.5, np.float64(0)], MASK).tolist() == [1, 0.5, 0]
    assert tabulate("success", [True, 0.0, np.bool_(True)], MASK).tolist() == [True, False, True]


def test_ids_are_numbered_in_order_of_appearance_and_none_is_not_there():
    assert tabulate("answer_ids", ["Paris", None, "Paris"], MASK).tolist() == [0, -1, 0]
    assert tabulate("answer_ids", [(1, 2), "x", 5], MASK[:, :1]).dtype == torch.int64


def test_values_by_turn_stand_on_the_first_token_of_their_turn():
    anchors = tabulate("anchor_ids", [["start", "page 3"], ["start"], ["copied from another row"]], MASK)
    assert anchors.tolist() == [[0, -1, -1, 1, -1], [0, -1, -1, -1, -1], [-1] * 5]
    rewards = tabulate("turn_rewards", [[0.5, 1], [0.25], []], MASK)
    assert rewards.tolist() == [[0.5, 0, 0, 1, 0], [0.25, 0, 0, 0, 0], [0] * 5]


def test_values_by_token_end_in_nan():
    found = tabulate("step_conf", [[0.5, NAN, 1], [], [0.25] * 5], MASK)
    expected = torch.tensor([[0.5, NAN, 1, NAN, NAN], [NAN] * 5, [0.25] * 5])
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_a_name_of_somebody_elses_is_taken_as_it_comes():
    assert tabulate("acme_score", [1.5, 2, 3], MASK).tolist() == [1.5, 2, 3]
    assert tabulate("acme_flag", [True, False, True], MASK).dtype == torch.bool
    assert tabulate("acme_tokens", [[1], [2], []], MASK).shape == MASK.shape


def test_an_empty_batch_gives_an_empty_tensor():
    empty = MASK[:0]
    assert tabulate("tool_calls", [], empty).shape == (0,)
    assert tabulate("turn_rewards", [], empty).shape == tabulate("step_acc", [], empty).shape == (0, 5)


REFUSED = {
    "one entry a row is expected, got 2 for 3 rows": ("tool_calls", [1, 2]),
    "int64 is expected, got 0.5": ("tool_calls", [0.5, 1, 2]),
    "int64 is expected, got 'many'": ("tool_calls", [1, "many", 2]),
    "float is expected, got None": ("entity_match", [1, None, 2]),
    "float is expected, got": ("entity_match", [[1], [2], [3]]),
    "single values are expected": ("entity_match", [[1], [], 3]),
    "what can be compared, .* is expected: unhashable type: 'list'": ("answer_ids", [["a"], "b", "c"]),
    "true or false is expected, got 2": ("success", [1, 2, 0]),
    "row 0 has 2 turns, one value each is expected, got 1": ("turn_rewards", [[1], [1], []]),
    "a list is expected in each row, got 3 in row 1": ("turn_rewards", [[1, 2], 3, []]),
    "row 1 has 9 values, the longest response only 5 tokens": ("step_acc", [[], [1] * 9, []]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refuses(message):
    with pytest.raises(InputError, match=message):
        tabulate(*REFUSED[message], MASK)
