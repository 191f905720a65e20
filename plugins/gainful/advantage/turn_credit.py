"""Credit per turn: what each turn brought, against what the other responses brought that were still going."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from gainful.advantage.agpo import AgpoConfig, agpo
from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.advantage.ngrpo import NgrpoConfig, ngrpo
from gainful.advantage.nsr import NsrConfig, nsr
from gainful.advantage.psr import PsrConfig, psr
from gainful.advantage.rows import broadcast, check_config, check_shapes, outcome_scores, row_sums, spread
from gainful.advantage.turn_baseline import centred
from gainful.advantage.turn_rewards import checked_rewards, known_turns, split_last_turn
from gainful.advantage.turns import find_turns
from gainful.advantage.types import Advantages, Registration
from gainful.advantage.w_reinforce import WReinforceConfig, w_reinforce
from gainful.config import Options, from_mapping

__all__ = ["TurnCreditConfig", "turn_credit"]


class GrpoConfig(Options):
    """`grpo` as a base has no options."""


def _grpo(rewards: Tensor, response_mask: Tensor, group_ids: Tensor, *, config: Options) -> Advantages:
    scores = outcome_scores("turn_credit", rewards, response_mask, group_ids)
    return broadcast(group_relative(scores, group_rows(group_ids)), response_mask, rewards)


BASES: dict[str, tuple[Callable[..., Advantages], type[Options]]] = {
    "agpo": (agpo, AgpoConfig),
    "grpo": (_grpo, GrpoConfig),
    "ngrpo": (ngrpo, NgrpoConfig),
    "nsr": (nsr, NsrConfig),
    "psr": (psr, PsrConfig),
    "w_reinforce": (w_reinforce, WReinforceConfig),
}
"""What may judge the outcome."""


class TurnCreditConfig(Options):
    """Options of `turn_credit`; all defaults are ours, `lam` after dl-m9/InfoReasoner's mix per trajectory."""

    mode: Literal["additive", "reward_to_go", "trajectory_mean"] = "additive"
    """`additive`: base + lam * turn part. `reward_to_go`: the turn part alone, with the outcome on the last turn.
    `trajectory_mean`: base on outcome + lam * mean turn reward."""
    base: Literal["agpo", "grpo", "ngrpo", "nsr", "psr", "w_reinforce"] = "agpo"
    """Estimator of the outcome; unused by `reward_to_go`."""
    base_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the base estimator."""
    lam: float = Field(default=0.6, ge=0)
    """Weight of turn rewards, in advantage per unit of turn reward; at least 0; 0 is the base alone, bit for bit."""
    gamma: float = Field(default=1.0, ge=0, le=1)
    """Discount per turn; in [0, 1]."""
    baseline: Literal["loo_alive", "mean_alive"] = "loo_alive"
    """Mean over the rows still going at a turn: of the others, or of all, which shrinks the credit."""

    @model_validator(mode="after")
    def _knows_its_base(self) -> "TurnCreditConfig":
        if self.mode == "reward_to_go" and self.lam == 0:
            raise ValueError("lam=0 means the base alone, and mode 'reward_to_go' has none; choose another mode")
        self.base_config()
        return self

    def base_config(self) -> Options:
        """The options of the base estimator."""
        return from_mapping(BASES[self.base][1], self.base_options, where="base_options", owner=self.base)


@torch.no_grad()
def turn_credit(
    rewards: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    *,
    config: TurnCreditConfig = TurnCreditConfig(),
    turn_rewards: Tensor | None = None,
    turn_valid: Tensor | None = None,
    base: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Advantages:
    """Advantage of the outcome plus a centred reward-to-go per turn.

    With r(i, k) the reward of turn k of row i, and alive(g, j) the rows of group g with more than j turns:

        G(i, j) = sum over k >= j of gamma^(k - j) r(i, k)
        A_turn(i, j) = G(i, j) - mean of G(i', j) over i' in alive(g, j), i' != i

    Centring the return of the turns to come, and not each reward, keeps the estimate unbiased when the policy decides
    how many turns it takes.

    Args:
        rewards: [B, T] or [B], the outcome. Without `turn_rewards` it must be [B, T] and holds both: what lies on the
            last turn of a row and after it is the outcome, what lies before are turn rewards.
        response_mask: [B, T]; turns are its runs of nonzero entries.
        group_ids: [B] int64; equal for responses to one prompt, in any order.
        config: Mode, base and weights.
        turn_rewards: [B, T] float; a reward on a token counts for the turn it is in or follows.
        turn_valid: [B] bool; rows whose turn rewards are known. The others are alive at no turn and get no turn part.
        base: Of outcome [B] and group ids [B], gives advantages [B]; in place of `config.base`, where a host's own
            estimator is wanted bit for bit.

    Returns:
        `advantages` and `returns`, one [B, T] tensor, constant over a turn, zero where the mask is.

    Raises:
        ShapeError: Ranks, sizes, dtypes or devices disagree.
        InputError: An outcome or a turn reward is not finite.
        ConfigError: `config` belongs to another method.

    Edge cases: with `lam` 0 turn rewards are not looked at; a row alone at its turn index has no turn part there, and a
    row without turns gets zeros, though its outcome counts in its group.

    Source: derived here [D]; checked against enumerated policy gradients. Differs from centring each reward per turn
    index, which is biased.
    """
    check_config("turn_credit", config, TurnCreditConfig)
    check_shapes("turn_credit", rewards, response_mask, group_ids)
    turns = find_turns(response_mask)
    if turn_rewards is None:
        outcome, values = split_last_turn(rewards, turns)
    else:
        outcome, values = rewards, turns.sums(turn_rewards)
    if config.lam == 0:
        return _base(outcome, response_mask, group_ids, config, base)
    scores = outcome_scores("turn_credit", outcome, response_mask, group_ids)
    known = known_turns(turns, turn_valid)
    values = checked_rewards(values, known)
    if config.mode == "trajectory_mean":
        mean = scores.new_zeros(scores.shape).index_add_(0, turns.row, values) / (turns.count - 1).clamp(min=1)
        return _base((scores + config.lam * mean).to(_width(rewards)), response_mask, group_ids, config, base)
    if config.mode == "reward_to_go":
        result = broadcast(torch.zeros_like(scores), response_mask, rewards)
        values, weight = values + torch.where(turns.is_last, scores[turns.row], 0.0), 1.0
    else:
        result = _base(outcome, response_mask, group_ids, config, base)
        weight = config.lam
    to_go, keys = turns.to_go(values, config.gamma), turns.peer_keys(group_ids)
    credit = centred(to_go, known, keys, leave_one_out=config.baseline == "loo_alive")
    turns.add_to(result.advantages, weight * credit)
    return result


def _base(
    outcome: Tensor,
    response_mask: Tensor,
    group_ids: Tensor,
    config: TurnCreditConfig,
    base: Callable[[Tensor, Tensor], Tensor] | None,
) -> Advantages:
    if base is not None:
        advantages = spread(base(row_sums(outcome), group_ids), response_mask)
        return Advantages(advantages, advantages)
    estimate, _ = BASES[config.base]
    return estimate(outcome, response_mask, group_ids, config=config.base_config())


def _width(rewards: Tensor) -> torch.dtype:
    return torch.float64 if rewards.dtype == torch.float64 else torch.float32


REGISTRATION: Registration = {
    "config": TurnCreditConfig,
    "source": "derived here; weight after dl-m9/InfoReasoner",
    "evidence": "[D] formula and tests, [AC] weight, [OD] defaults",
    "difference": "own method",
    "optional": ("turn_rewards", "turn_valid", "base"),
    "tier": 1,
    "level": "turn",
    "keeps_all_wrong": True,
    "maps_reward": True,
    "reward_range": (0.0, 1.0),
}
