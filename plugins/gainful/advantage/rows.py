"""From token tensors to one number a row, and back. The only code that touches [B, T] tensors of outcome methods.

The result is the only tensor of the size of the batch that an outcome method makes: casting a mask or half precision
rewards as a whole would cost more time and memory than everything else.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gainful.advantage.types import Advantages
from gainful.config import Options
from gainful.errors import ConfigError, InputError, ShapeError

__all__ = [
    "broadcast",
    "check_config",
    "check_finite",
    "check_shapes",
    "check_signal",
    "check_success",
    "masked_means",
    "outcome_scores",
    "row_blocks",
    "row_lengths",
    "row_sums",
    "spread",
]

_BLOCK_ELEMENTS = 2**18
"""Ours. Larger blocks need more memory for what is computed on the way and, measured, are no faster."""


def check_config(where: str, config: Options, expected: type[Options]) -> None:
    """Refuse the options of another method."""
    if not isinstance(config, expected):
        raise ConfigError(f"{where}: config must be {expected.__name__}, got {type(config).__name__}")


def check_success(where: str, success: Tensor | None, num_rows: int) -> None:
    """Refuse a `success` signal that is not one bool a row."""
    if success is not None:
        check_signal(where, "success", success, torch.bool, (num_rows,))


def check_signal(where: str, name: str, signal: Tensor, dtype: torch.dtype, shape: Sequence[int]) -> None:
    """Refuse a signal of another shape or dtype; `torch.float32` stands for any float.

    Raises:
        ShapeError: Names the method, the signal, what was expected and what was found.
    """
    fits = signal.is_floating_point() if dtype == torch.float32 else signal.dtype == dtype
    if not fits or signal.shape != tuple(shape):
        kind = "float" if dtype == torch.float32 else _name(dtype)
        raise ShapeError(f"{where}: {name} must be {kind} {list(shape)}, got {_describe(signal)}")


def outcome_scores(where: str, rewards: Tensor, response_mask: Tensor, group_ids: Tensor) -> Tensor:
    """Check the three inputs of every estimator and return the outcome of each row.

    Args:
        where: The method, for messages.
        rewards: [B, T] or [B]. Summed over all positions, also where the mask is zero: verl puts the score on the
            last token of the response, which a tool may have written.
        response_mask: [B, T].
        group_ids: [B] int64.

    Returns:
        [B] float64; summed in float32, or in float64 if rewards are.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: A row sum is not finite.
    """
    check_shapes(where, rewards, response_mask, group_ids)
    scores = row_sums(rewards).double()
    finite = torch.isfinite(scores)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError(
            f"{where}: rewards must have finite row sums, got {scores[row]:g} in row {row} of {len(scores)}; "
            "look for nan or inf in the reward function's output"
        )
    return scores


def broadcast(values: Tensor, response_mask: Tensor, rewards: Tensor) -> Advantages:
    """One value a row [B] onto the row's policy tokens; zero on all others.

    The result has float32 (float64 for float64 rewards) and is rounded once, here.
    """
    dtype = torch.float64 if rewards.dtype == torch.float64 else torch.float32
    out = spread(values.to(dtype), response_mask)
    return Advantages(out, out)


def spread(values: Tensor, response_mask: Tensor) -> Tensor:
    """[B, T] of the dtype of `values` [B]: bit for bit their product with a mask of zeros and ones, in a new tensor."""
    return _indicator(response_mask, values.dtype).mul_(values[:, None])


def row_lengths(response_mask: Tensor) -> Tensor:
    """[B] int64: number of policy tokens of each row."""
    # into one tensor: results kept one by one would lie between freed blocks, and the heap would grow with each
    counts = torch.empty(len(response_mask), dtype=torch.float32, device=response_mask.device)
    for rows in row_blocks(response_mask):
        torch.sum(_indicator(response_mask[rows], torch.float32), dim=1, out=counts[rows])
    return counts.long()


def masked_means(where: str, name: str, tokens: Tensor, response_mask: Tensor) -> Tensor:
    """[B] float64: mean of a signal [B, T] over each row's policy tokens; 0 for a row without any.

    Raises:
        ShapeError: The signal is no float tensor of the shape of the mask.
        InputError: It is not finite on a policy token.
    """
    check_signal(where, name, tokens, torch.float32, response_mask.shape)
    means = tokens.new_zeros(len(tokens), dtype=torch.float64)
    for rows in row_blocks(tokens):
        policy = response_mask[rows] != 0
        sums = torch.where(policy, tokens[rows], 0.0).sum(dim=1, dtype=torch.float64)
        means[rows] = sums / policy.sum(dim=1).clamp(min=1)
    check_finite(where, name, means)
    return means


def check_finite(where: str, name: str, by_row: Tensor) -> None:
    """Refuse a signal whose values or sums by row [B] are not all finite."""
    finite = torch.isfinite(by_row)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError(f"{where}: {name} must be finite on policy tokens, got {by_row[row]:g} in row {row}")


def _indicator(response_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, T]: 1 where the mask is not zero; a new tensor, made without another of its size on the way."""
    out = torch.empty(response_mask.shape, dtype=dtype, device=response_mask.device)
    if response_mask.is_floating_point():
        return torch.ne(response_mask, 0, out=out)
    return out.copy_(response_mask).ne_(0)  # one cast; a comparison between two dtypes is slower


def row_sums(rewards: Tensor) -> Tensor:
    """[B]: sums of [B, T] (or [B] as it is) in float32, in float64 for float64; without a casted copy of the batch."""
    if rewards.dim() == 1:
        return rewards if rewards.is_floating_point() else rewards.float()
    if rewards.dtype in (torch.float32, torch.float64):
        return rewards.sum(dim=1)
    sums = torch.empty(len(rewards), dtype=torch.float32, device=rewards.device)
    for rows in row_blocks(rewards):
        torch.sum(rewards[rows].float(), dim=1, out=sums[rows])
    return sums


def row_blocks(tokens: Tensor) -> Iterator[slice]:
    """Row ranges of [B, T] that are processed at once; an accelerator takes all rows at once."""
    num_rows, num_tokens = tokens.shape
    step = max(1, _BLOCK_ELEMENTS // max(1, num_tokens)) if tokens.device.type == "cpu" else max(1, num_rows)
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def check_shapes(where: str, rewards: Tensor, response_mask: Tensor, group_ids: Tensor) -> None:
    """Refuse inputs whose ranks, sizes, dtypes or devices disagree."""
    if response_mask.dim() != 2 or response_mask.is_complex():
        raise ShapeError(f"{where}: response_mask must be bool, int or float [B, T], got {_describe(response_mask)}")
    num_rows, num_tokens = response_mask.shape
    if rewards.shape not in ((num_rows, num_tokens), (num_rows,)) or rewards.is_complex():
        raise ShapeError(
            f"{where}: rewards must be [{num_rows}, {num_tokens}] or [{num_rows}] to match response_mask, "
            f"got {_describe(rewards)}"
        )
    if group_ids.dtype != torch.int64 or group_ids.shape != (num_rows,):
        raise ShapeError(
            f"{where}: group_ids must be int64 [{num_rows}] to match rewards {list(rewards.shape)}, "
            f"got {_describe(group_ids)}"
        )
    devices = {str(tensor.device) for tensor in (rewards, response_mask, group_ids)}
    if len(devices) > 1:
        raise ShapeError(f"{where}: rewards, response_mask and group_ids must be on one device, got {sorted(devices)}")


def _describe(tensor: Tensor) -> str:
    return f"{_name(tensor.dtype)} {list(tensor.shape)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
