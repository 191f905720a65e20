"""The turn rewards that `turn_credit` is given: in the reward tensor or beside it, of all rows or of some."""

import torch
from torch import Tensor

from gainful.advantage.rows import check_signal, row_sums
from gainful.advantage.turns import Turns
from gainful.errors import InputError, ShapeError

__all__ = ["checked_rewards", "known_turns", "split_last_turn"]


def split_last_turn(rewards: Tensor, turns: Turns) -> tuple[Tensor, Tensor]:
    """Outcome [B] and turn rewards [S] of one dense tensor [B, T]: the last turn's sum is the outcome.

    In a row without turns the whole sum is the outcome.
    """
    if rewards.dim() != 2:
        raise ShapeError(
            f"turn_credit: without turn_rewards, rewards must be [B, T] and hold them too, got {list(rewards.shape)}"
        )
    values = turns.sums(rewards)
    outcome = row_sums(rewards)
    outcome[turns.row[turns.is_last]] = values[turns.is_last].to(outcome.dtype)
    return outcome, values.masked_fill(turns.is_last, 0.0)


def known_turns(turns: Turns, turn_valid: Tensor | None) -> Tensor:
    """[S] bool: turns of rows whose turn rewards are known."""
    if turn_valid is None:
        return torch.ones_like(turns.row, dtype=torch.bool)
    check_signal("turn_credit", "turn_valid", turn_valid, torch.bool, turns.count.shape)
    return turn_valid[turns.row]


def checked_rewards(values: Tensor, known: Tensor) -> Tensor:
    """Turn rewards [S], zero where they are not known; `InputError` for one that is known and not finite."""
    values = values.masked_fill(~known, 0.0)
    if not torch.isfinite(values).all():
        raise InputError(
            "turn_credit: turn rewards must be finite, got nan or inf; mark rows whose turn rewards are missing with "
            "turn_valid=False"
        )
    return values
