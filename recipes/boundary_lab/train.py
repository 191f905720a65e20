"""Reinforcement learning with verifiable rewards: one on-policy update per batch, token-mean loss, Adam."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from methods import advantages
from policy import Policy, answer_logits, answer_mask, sample
from settings import TrainSettings
from task import ANSWER_LENGTH, END, Problem, is_right, prompts
from torch import Tensor

from gainful.advantage import diagnostics
from gainful.advantage.diagnostics import PREFIX


class PromptStream:
    """Training prompts, all of them once before any of them again; the same for every method of one seed."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        self.prompts, self.order = prompts(problems), []
        self.random = random.Random(seed)  # noqa: S311  (not a secret)

    def take(self, num_prompts: int) -> Tensor:
        """[num_prompts, PROMPT_LENGTH]."""
        while len(self.order) < num_prompts:
            again = list(range(len(self.prompts)))
            self.random.shuffle(again)
            self.order += again
        taken, self.order = self.order[:num_prompts], self.order[num_prompts:]
        return self.prompts[taken]


def train(
    policy: Policy,
    problems: Sequence[Problem],
    settings: TrainSettings,
    *,
    method: str,
    options: Mapping[str, Any],
    learning_rate: float,
    seed: int,
) -> dict[str, list[float]]:
    """Train `policy` in place; returns curves: one value per step for reward, entropy, all_wrong_share, net_advantage.

    Prompts and the random numbers behind every sampled token depend on `seed` and the step alone, not on the method.
    """
    device = next(policy.parameters()).device
    stream, generator = PromptStream(problems, seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=learning_rate)
    group_ids = torch.arange(settings.prompts_per_step, device=device).repeat_interleave(settings.group_size)
    curves: dict[str, list[float]] = {}
    for _ in range(settings.num_steps):
        uniform = torch.rand(len(group_ids), ANSWER_LENGTH, generator=generator).to(device)
        shown = stream.take(settings.prompts_per_step).to(device)
        answers = sample(policy, shown, uniform, end=END)
        rewards, mask = is_right(shown[group_ids], answers).float(), answer_mask(answers, end=END)
        advantage = advantages(method, options, rewards, mask, group_ids)
        entropy = update(policy, optimizer, shown, answers, mask, advantage, settings.max_gradient_norm)
        figures = diagnostics(advantage, rewards, mask, group_ids)
        record(
            curves,
            reward=figures[f"{PREFIX}success_rate"],
            entropy=entropy,
            all_wrong_share=figures[f"{PREFIX}all_wrong_share"],
            net_advantage=figures[f"{PREFIX}net_seq"],
        )
    return curves


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    shown: Tensor,
    answers: Tensor,
    mask: Tensor,
    advantage: Tensor,
    max_gradient_norm: float,
) -> float:
    """One step up the token mean of advantage x log-probability; returns the mean token entropy in nats before it."""
    log_probs = answer_logits(policy, shown, answers).log_softmax(dim=-1)
    chosen = log_probs.gather(2, answers[:, :, None])[:, :, 0]
    loss = -(advantage * chosen * mask).sum() / mask.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.parameters(), max_gradient_norm)
    optimizer.step()
    return mean_entropy(log_probs.detach(), mask)


def mean_entropy(log_probs: Tensor, mask: Tensor) -> float:
    """Nats per token of the masked positions; log_probs [B, T, tokens], mask [B, T]."""
    return float((-(log_probs.exp() * log_probs).sum(dim=-1) * mask).sum() / mask.sum())


def record(curves: dict[str, list[float]], **values: float) -> None:
    for name, value in values.items():
        curves.setdefault(name, []).append(round(value, 5))
