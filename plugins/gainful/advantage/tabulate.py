"""From what an agent loop or a reward function left behind, one entry a response, to the tensors estimators take."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainful.advantage.turns import find_turns
from gainful.errors import InputError
from gainful.specs import SIGNALS, Signal

__all__ = ["tabulate"]


def tabulate(name: str, entries: Sequence[Any], response_mask: Tensor) -> Tensor:
    """One signal of a batch as the tensor that `gainful.specs.SIGNALS` describes.

    Args:
        name: The signal. One without a common name is taken as numbers a row, or as lists of floats a token.
        entries: One a row: a value, or a list of values by turn or by token, as the signal says. Ids may be anything
            that can be compared; None is "not there", -1 in the tensor.
        response_mask: [B, T]; its runs are the turns. Rows without a turn, such as padding, need no values by turn.

    Returns:
        [B] or [B, T] on the device of the mask. Where a list by token ends stands nan; where no turn begins, 0 (-1 for
        ids).

    Raises:
        InputError: Rows are missing, a list has another length than its row has turns, or a value is of another kind.
    """
    if len(entries) != len(response_mask):
        raise InputError(f"{name}: one entry a row is expected, got {len(entries)} for {len(response_mask)} rows")
    signal = SIGNALS.get(name) or _guess(entries)
    if signal.names_things:
        entries = _numbered(name, signal, entries)
    table: dict[str, Callable[[str, Signal, Sequence[Any], Tensor], Tensor]]
    table = {"row": _by_row, "turn": _by_turn, "token": _by_token}
    return table[signal.place](name, signal, entries, response_mask).to(response_mask.device)


def _guess(entries: Sequence[Any]) -> Signal:
    if any(isinstance(entry, list | tuple | np.ndarray) for entry in entries):
        return Signal("float", "token")
    kinds = {type(entry) for entry in entries}
    return Signal("bool" if kinds == {bool} else "int64" if kinds == {int} else "float", "row")


def _numbered(name: str, signal: Signal, entries: Sequence[Any]) -> list[Any]:
    """Things, or lists of things by turn, as numbers from 0 in order of appearance; None as -1."""
    numbers: dict[Any, int] = {None: -1}

    def number(thing: Any) -> int:
        return numbers.setdefault(thing, len(numbers) - 1)

    try:
        if signal.place == "row":
            return [number(entry) for entry in entries]
        return [[*map(number, _as_list(name, row, entry))] for row, entry in enumerate(entries)]
    except TypeError as error:
        raise InputError(f"{name}: what can be compared, such as text or a tuple, is expected: {error}") from error


def _by_row(name: str, signal: Signal, entries: Sequence[Any], _: Tensor) -> Tensor:
    return _checked(name, signal, entries)


def _by_turn(name: str, signal: Signal, entries: Sequence[Any], response_mask: Tensor) -> Tensor:
    turns = find_turns(response_mask.cpu())
    flat: list[Any] = []
    for row, (entry, num_turns) in enumerate(zip(entries, turns.count.tolist(), strict=True)):
        if num_turns and len(_as_list(name, row, entry)) != num_turns:
            raise InputError(f"{name}: row {row} has {num_turns} turns, one value each is expected, got {len(entry)}")
        flat.extend(entry if num_turns else ())
    values = _checked(name, signal, flat)
    table = values.new_full(response_mask.shape, -1 if signal.names_things else 0)
    table[turns.row, turns.start] = values
    return table


def _by_token(name: str, signal: Signal, entries: Sequence[Any], response_mask: Tensor) -> Tensor:
    num_tokens = response_mask.shape[1]
    table = torch.full(response_mask.shape, torch.nan)
    for row, entry in enumerate(entries):
        length = len(_as_list(name, row, entry))
        if length > num_tokens:
            raise InputError(f"{name}: row {row} has {length} values, the longest response only {num_tokens} tokens")
        table[row, :length] = _checked(name, signal, entry)
    return table


def _as_list(name: str, row: int, entry: Any) -> Any:
    if not isinstance(entry, list | tuple | np.ndarray):
        raise InputError(f"{name}: a list is expected in each row, got {entry!r:.60} in row {row}")
    return entry


def _checked(name: str, signal: Signal, values: Sequence[Any]) -> Tensor:
    """Values [N] as a tensor of the signal's dtype; `InputError` for what that would change."""
    try:
        array = np.asarray(values) if len(values) else np.zeros(0, dtype=np.int64)
    except ValueError as error:
        raise InputError(f"{name}: single values are expected, got lists among {len(values)} values") from error
    if array.ndim != 1 or array.dtype.kind not in {"float": "fiub", "int64": "iu", "bool": "fiub"}[signal.dtype]:
        odd = next((value for value in values if not isinstance(value, int | np.integer)), values[0])
        raise InputError(f"{name}: {signal.dtype} is expected, got {odd!r:.60} among {len(values)} values")
    if signal.dtype == "bool" and not np.isin(array, (0, 1)).all():
        raise InputError(f"{name}: true or false is expected, got {array[~np.isin(array, (0, 1))][0]}")
    dtype = {"float": np.float32, "int64": np.int64, "bool": np.bool_}[signal.dtype]
    return torch.from_numpy(array.astype(dtype))
