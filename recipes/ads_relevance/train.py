"""How a teacher learns: supervised on cheap annotations, then by reward with GRPO or AGPO."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plan
import torch
from reward import DATA_SOURCE, compute_score
from teacher import PAD, TeacherModel, Vocabulary, sample
from torch import Tensor
from torch.nn import functional

from gainful.advantage.group_relative import group_relative
from gainful.advantage.groups import group_rows
from gainful.catalog import catalog

Tick = Callable[[], None]
"""Called after each step."""
METHODS = ("grpo", "agpo")
_LARGEST_GRADIENT = 1.0


def demonstrations(pairs: pd.DataFrame) -> list[str]:
    """The responses that the base imitates."""
    return [f"{why} grade {grade}" for why, grade in zip(pairs["rationale"], pairs["annotation"], strict=True)]


def supervise(
    model: TeacherModel, prompts: Tensor, responses: Tensor, settings: plan.Supervised, *, seed: int, tick: Tick
) -> None:
    """Next-word training on the responses [N, T] alone; the prompts [N, P] carry no loss."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    for _ in range(settings.steps):
        rows = torch.randint(len(prompts), (settings.batch,), generator=generator)
        logits = model.response_logits(prompts[rows], responses[rows])
        loss = functional.cross_entropy(logits.flatten(0, 1), responses[rows].flatten(), ignore_index=PAD)
        _step(model, optimizer, loss)
        schedule.step()
        tick()


@dataclass(frozen=True)
class Task:
    """What a policy is asked, and what it is rewarded for."""

    vocabulary: Vocabulary
    prompts: Tensor
    """[N, P] int64."""
    truths: list[str]
    """One ground truth a prompt, as `reward.compute_score` reads it."""

    def rewards(self, rows: Tensor, responses: Tensor) -> Tensor:
        """[B]: the reward of each response [B, T]; `rows` [B] says which prompt it answers."""
        texts = self.vocabulary.texts(responses)
        truths = (self.truths[row] for row in rows.tolist())
        scores = [compute_score(DATA_SOURCE, text, truth)["score"] for text, truth in zip(texts, truths, strict=True)]
        return torch.tensor(scores, device=responses.device)


def advantages(method: str, rewards: Tensor, mask: Tensor, group_ids: Tensor, settings: plan.Reinforced) -> Tensor:
    """[B, T]: `grpo` as verl has it, from the core's kernel, and any other method from the catalogue."""
    if method == "grpo":
        return group_relative(rewards.double(), group_rows(group_ids)).float()[:, None] * mask
    estimator = catalog().advantage(method)
    return estimator.fn(rewards, mask, group_ids, config=settings.agpo)[0]


def reinforce(
    model: TeacherModel, task: Task, method: str, settings: plan.Reinforced, *, seed: int, tick: Tick
) -> dict[str, np.ndarray]:
    """Policy gradient with one update a batch, so there is no ratio to clip; no KL term.

    Prompts and the random numbers behind the samples depend on `seed` alone: methods differ in the advantage only, and
    their first batches are equal.

    Returns:
        By step: `reward` (mean), `exact` (share of right grades), `silent` (share of groups with equal rewards, to
        which GRPO is deaf), `all_wrong` (share of groups without a right grade).
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    num_tokens = task.vocabulary.response_slots
    curve = []
    for _ in range(settings.steps):
        rows = torch.randint(len(task.prompts), (settings.prompts,), generator=generator)
        uniforms = torch.rand(settings.prompts, settings.samples, num_tokens, generator=generator)
        responses = sample(model, task.prompts[rows], uniforms.to(task.prompts.device))
        groups = torch.arange(settings.prompts).repeat_interleave(settings.samples).to(responses.device)
        rewards = task.rewards(rows.to(groups.device)[groups], responses)
        mask = responses != PAD
        weights = advantages(method, rewards, mask, groups, settings)
        _step(model, optimizer, _loss(model, task.prompts[rows][groups], responses, weights, mask))
        curve.append(_record(rewards.view(settings.prompts, settings.samples)))
        tick()
    return {name: np.array([point[name] for point in curve]) for name in curve[0]}


def _loss(model: TeacherModel, prompts: Tensor, responses: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """Minus the mean over tokens of advantage times log-probability: verl's `token-mean`."""
    logits = model.response_logits(prompts, responses)
    log_probs = -functional.cross_entropy(logits.flatten(0, 1), responses.flatten(), reduction="none")
    return -(weights.flatten() * log_probs).sum() / mask.sum()


def _step(model: TeacherModel, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
    optimizer.step()


def _record(rewards: Tensor) -> dict[str, float]:
    """Figures of one batch from its rewards [prompts, samples]."""
    right = rewards == 1.0
    return {
        "reward": rewards.mean().item(),
        "exact": right.float().mean().item(),
        "silent": (rewards == rewards[:, :1]).all(dim=1).float().mean().item(),
        "all_wrong": (~right.any(dim=1)).float().mean().item(),
    }
