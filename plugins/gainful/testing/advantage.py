"""The contract of an advantage estimator, as checks that print what was broken."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from gainful.catalog import EstimatorSpec
from gainful.config import Options
from gainful.errors import ConfigError, MissingInputError

__all__ = ["Batch", "check_advantage", "random_batch"]

_TOLERANCE = 1e-6
_DEFAULT_RANGE = (-2.0, 2.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs of one call."""

    rewards: Tensor
    """[B, T] float32; one token of each row carries its outcome, a multiple of 1/8 of the range."""
    response_mask: Tensor
    """[B, T] int64; runs of policy tokens with gaps; some rows are empty."""
    group_ids: Tensor
    """[B] int64; groups of 1 to 8 rows, not contiguous."""


Signals = Callable[[Batch], Mapping[str, Tensor]]


def random_batch(
    generator: torch.Generator, *, num_groups: int = 6, num_tokens: int = 9, reward_range: tuple[float, float] = (0, 1)
) -> Batch:
    """A batch with every awkward case: singletons, all right, all wrong, empty masks, scattered ids."""

    def draw(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    sizes = draw(1, 9, num_groups)
    ids = draw(-(10**12), 10**12, num_groups).repeat_interleave(sizes)
    ids = ids[torch.randperm(len(ids), generator=generator)]
    steps = torch.where(draw(0, 2, len(ids)) == 1, draw(0, 9, len(ids)), 8 * draw(0, 2, len(ids)))
    low, high = reward_range
    rewards = torch.zeros(len(ids), num_tokens)
    rewards[torch.arange(len(ids)), draw(0, num_tokens, len(ids))] = low + (high - low) * steps / 8
    mask = (draw(0, 4, len(ids), num_tokens) > 0).long()
    mask[draw(0, 8, len(ids)) == 0] = 0
    return Batch(rewards, mask, ids)


def check_advantage(
    spec: EstimatorSpec,
    *,
    signals: Signals | None = None,
    config: Options | None = None,
    prepare: Callable[[Batch], Batch] | None = None,
    num_batches: int = 20,
    seed: int = 0,
) -> None:
    """Check one estimator against the contract of `gainful.advantage.Estimator`.

    Args:
        spec: The entry to check: `catalog().advantage("acme")`.
        signals: Makes the inputs in `spec.needs` for a batch, each row's from that row's mask alone; required if there
            are any.
        config: The options to call it with; the defaults of `spec.config_cls` if not given.
        prepare: Puts rewards to where the method allows them, for one that reads more than row sums.
        num_batches: Random batches per check.
        seed: Of the random batches.

    Raises:
        AssertionError: A clause of the contract is broken; names the clause and what was found.
        MissingInputError: `spec.needs` names signals and `signals` is not given.
    """
    if spec.needs and signals is None:
        raise MissingInputError(f"check_advantage: {spec.name!r} needs {spec.needs}; pass signals=")
    case = _Case(spec, signals or (lambda batch: {}), config if config is not None else spec.config_cls())
    for clause in (_refuses_bad_input, _takes_empty_and_single_rows, _freezes_its_config):
        clause(case)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_batches):
        batch = random_batch(generator, reward_range=spec.reward_range or _DEFAULT_RANGE)
        batch = prepare(batch) if prepare else batch
        for check in _CLAUSES:
            check(case, batch, generator)


@dataclass(frozen=True, slots=True)
class _Case:
    spec: EstimatorSpec
    signals: Signals
    config: Options

    def call(self, batch: Batch, config: Options | None = None) -> Tensor:
        out = self.outputs(batch, config)
        return out[0]

    def outputs(self, batch: Batch, config: Options | None = None) -> tuple[Tensor, Tensor]:
        return self.spec.fn(
            batch.rewards,
            batch.response_mask,
            batch.group_ids,
            config=config if config is not None else self.config,
            **self.signals(batch),
        )

    def require(self, kept: bool | Tensor, clause: str) -> None:
        if not bool(kept):
            raise AssertionError(f"check_advantage({self.spec.name!r}): {clause}")

    def same(self, found: Tensor, expected: Tensor, clause: str) -> None:
        worst = (found.double() - expected.double()).abs().max() if found.numel() else torch.tensor(0.0)
        scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        self.require(
            found.shape == expected.shape and worst <= _TOLERANCE * scale, f"{clause} (largest difference {worst:g})"
        )

    def refuses(self, batch: Batch, clause: str) -> None:
        try:
            self.call(batch)
        except ValueError:
            return
        raise AssertionError(f"check_advantage({self.spec.name!r}): {clause} must raise a ValueError")


def _returns_masked_float32(case: _Case, batch: Batch, _: torch.Generator) -> None:
    advantages, returns = case.outputs(batch)
    case.require(returns is advantages, "returns must be the tensor of advantages itself")
    case.require(advantages.shape == batch.response_mask.shape, f"shape {list(advantages.shape)} is not the mask's")
    case.require(advantages.dtype == torch.float32, f"float32 rewards must give float32, got {advantages.dtype}")
    case.require(not advantages.requires_grad, "advantages must not require a gradient")
    case.require((advantages[batch.response_mask == 0] == 0).all(), "advantages must be zero where the mask is")
    case.require(torch.isfinite(advantages).all(), "advantages must be finite for finite rewards")
    if case.spec.level == "outcome":
        policy = batch.response_mask != 0
        highest = advantages.masked_fill(~policy, -torch.inf).amax(dim=1)
        lowest = advantages.masked_fill(~policy, torch.inf).amin(dim=1)
        case.require(
            (highest == lowest)[policy.any(dim=1)].all(), "an outcome method gives all tokens of a row one value"
        )


def _keeps_inputs_and_repeats(case: _Case, batch: Batch, _: torch.Generator) -> None:
    before = replace(
        batch,
        rewards=batch.rewards.clone(),
        response_mask=batch.response_mask.clone(),
        group_ids=batch.group_ids.clone(),
    )
    first = case.call(batch)
    for name in ("rewards", "response_mask", "group_ids"):
        case.require(torch.equal(getattr(batch, name), getattr(before, name)), f"{name} must not be modified")
    case.require(torch.equal(first, case.call(batch)), "two calls must agree bit for bit")


def _takes_every_dtype(case: _Case, batch: Batch, _: torch.Generator) -> None:
    expected = case.call(batch)
    for dtype in (torch.bool, torch.int8, torch.float32):
        found = case.call(replace(batch, response_mask=batch.response_mask.to(dtype)))
        case.require(torch.equal(found, expected), f"a mask of dtype {dtype} must give the same")
    for dtype in (torch.float16, torch.bfloat16):
        found = case.call(replace(batch, rewards=batch.rewards.to(dtype)))
        case.require(found.dtype == torch.float32, f"{dtype} rewards must give float32, got {found.dtype}")
        case.same(found, expected, f"{dtype} rewards of exact value must give the same")
    found = case.call(replace(batch, rewards=batch.rewards.double()))
    case.require(found.dtype == torch.float64, f"float64 rewards must give float64, got {found.dtype}")
    case.same(found, expected, "float64 rewards must give the same")


def _ignores_row_order_and_labels(case: _Case, batch: Batch, generator: torch.Generator) -> None:
    if case.spec.ties_by_row_order:
        batch = _with_distinct_lengths(batch)
    expected = case.call(batch)
    order = torch.randperm(len(batch.group_ids), generator=generator)
    shuffled = Batch(batch.rewards[order], batch.response_mask[order], batch.group_ids[order])
    case.same(case.call(shuffled), expected[order], "permuting rows must permute the result")
    relabelled = replace(batch, group_ids=10**12 - 3 * batch.group_ids)
    case.same(case.call(relabelled), expected, "other group ids for the same groups must give the same")


def _with_distinct_lengths(batch: Batch) -> Batch:
    num_rows, num_tokens = batch.rewards.shape
    width = torch.arange(max(num_rows, num_tokens))
    rewards = torch.nn.functional.pad(batch.rewards, (0, len(width) - num_tokens))
    return Batch(rewards, (width <= torch.arange(num_rows)[:, None]).long(), batch.group_ids)


def _ignores_padding(case: _Case, batch: Batch, _: torch.Generator) -> None:
    expected = case.call(batch)
    zeros = torch.zeros(len(batch.group_ids), 3)

    def pad(tokens: Tensor) -> Tensor:
        return torch.cat([zeros.to(tokens.dtype), tokens, zeros.to(tokens.dtype)], dim=1)

    padded = case.call(Batch(pad(batch.rewards), pad(batch.response_mask), batch.group_ids))
    case.same(padded, pad(expected), "padding on either side must change nothing")


def _reads_row_sums_only(case: _Case, batch: Batch, _: torch.Generator) -> None:
    if case.spec.level != "outcome":
        return
    expected = case.call(batch)
    case.same(case.call(replace(batch, rewards=batch.rewards.sum(dim=1))), expected, "[B] outcomes must give the same")
    moved = batch.rewards.roll(1, dims=1)
    case.same(case.call(replace(batch, rewards=moved)), expected, "the place of the outcome in its row must not matter")


def _keeps_its_scope(case: _Case, batch: Batch, _: torch.Generator) -> None:
    if case.spec.scope == "batch":
        return
    together = case.call(batch)
    for group_id in set(batch.group_ids.tolist()):
        rows = batch.group_ids == group_id
        alone = case.call(Batch(batch.rewards[rows], batch.response_mask[rows], batch.group_ids[rows]))
        case.same(alone, together[rows], f"scope {case.spec.scope}: a group alone must give what it gives in a batch")


_CLAUSES = (
    _returns_masked_float32,
    _keeps_inputs_and_repeats,
    _takes_every_dtype,
    _ignores_row_order_and_labels,
    _ignores_padding,
    _reads_row_sums_only,
    _keeps_its_scope,
)


def _rows(case: _Case, num_rows: int) -> Batch:
    high = (case.spec.reward_range or _DEFAULT_RANGE)[1]
    rewards = torch.zeros(num_rows, 3)
    rewards[:, -1] = high
    return Batch(rewards, torch.ones(num_rows, 3, dtype=torch.int64), torch.zeros(num_rows, dtype=torch.int64))


def _takes_empty_and_single_rows(case: _Case) -> None:
    for num_rows in (0, 1):
        found = case.call(_rows(case, num_rows))
        case.require(
            found.shape == (num_rows, 3), f"{num_rows} rows must give [{num_rows}, 3], got {list(found.shape)}"
        )
        case.require(torch.isfinite(found).all(), f"{num_rows} rows must give finite advantages")


def _refuses_bad_input(case: _Case) -> None:
    good = _rows(case, 4)
    for value in (torch.nan, torch.inf):
        bad = good.rewards.clone()
        bad[1, 0] = value
        case.refuses(replace(good, rewards=bad), f"a reward of {value}")
    case.refuses(replace(good, rewards=good.rewards[:3]), "fewer rewards than rows")
    case.refuses(replace(good, group_ids=good.group_ids[:3]), "fewer group ids than rows")
    case.refuses(replace(good, group_ids=good.group_ids.float()), "group ids that are no int64")
    _refuses_signals_and_configs(case, good)


def _refuses_signals_and_configs(case: _Case, good: Batch) -> None:
    class OtherOptions(Options):
        """Options of no method."""

    other: Any = OtherOptions()
    try:
        case.call(good, config=other)
    except ConfigError:
        pass
    else:
        raise AssertionError(f"check_advantage({case.spec.name!r}): options of another method must raise ConfigError")
    signals = {**case.signals(good), "no_such_signal": good.rewards}
    try:
        case.spec.fn(good.rewards, good.response_mask, good.group_ids, config=case.config, **signals)
    except (MissingInputError, TypeError):
        return
    raise AssertionError(f"check_advantage({case.spec.name!r}): an unknown signal must raise TypeError")


def _freezes_its_config(case: _Case) -> None:
    config = case.config
    again = case.spec.config_cls.model_validate(config.model_dump())
    case.require(again == config, "the options must survive a round trip through a mapping")
    for name in case.spec.config_cls.model_fields:
        try:
            setattr(config, name, getattr(config, name))
        except ValidationError:
            continue
        raise AssertionError(f"check_advantage({case.spec.name!r}): options must be frozen, {name} can be set")
