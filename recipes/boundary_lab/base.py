"""The supervised phase: demonstrations of a demonstrator with habits, and the base policy that imitates them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from policy import Policy, answer_logits, answer_mask
from settings import BaseSettings, ModelSettings
from task import ANSWER_LENGTH, END, PROMPT_LENGTH, VOCABULARY, Problem, encode, prompts, strategy
from torch import Tensor
from torch.nn import functional

_WARM_UP_STEPS = 50
_LAST_RATE = 0.1
"""The learning rate falls to this share of its peak along a cosine."""


class Demonstrations:
    """Right answers to problems, drawn by how much the demonstrator likes their operators.

    Problems that need operators he dislikes are therefore rarely shown, and for others he rarely shows such answers.
    """

    def __init__(self, problems: Sequence[Problem], operator_weights: Mapping[str, float]) -> None:
        pairs = [(number, answer) for number, problem in enumerate(problems) for answer in problem.solutions]
        weights = [math.prod(operator_weights[o] for o in strategy(answer)) for _, answer in pairs]
        self.prompts = prompts(problems)[[number for number, _ in pairs]]
        self.answers = torch.tensor([encode(answer) for _, answer in pairs])
        self.cumulative = torch.tensor(weights, dtype=torch.float64).cumsum(0)

    def draw(self, num_rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Prompts [num_rows, PROMPT_LENGTH] and answers [num_rows, ANSWER_LENGTH]."""
        points = torch.rand(num_rows, generator=generator, dtype=torch.float64) * self.cumulative[-1]
        pair = torch.searchsorted(self.cumulative, points, right=True)
        return self.prompts[pair], self.answers[pair]


def new_policy(settings: ModelSettings, seed: int) -> Policy:
    """A policy with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Policy(num_tokens=len(VOCABULARY), max_length=PROMPT_LENGTH + ANSWER_LENGTH, **settings.model_dump())


def imitate(policy: Policy, demonstrations: Demonstrations, settings: BaseSettings, *, seed: int) -> None:
    """Train `policy` in place to write what the demonstrator writes."""
    generator = torch.Generator().manual_seed(seed)
    device = next(policy.parameters()).device
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.num_steps))
    for _ in range(settings.num_steps):
        shown, answers = (part.to(device) for part in demonstrations.draw(settings.batch_size, generator))
        written = answer_mask(answers, end=END)
        loss = functional.cross_entropy(answer_logits(policy, shown, answers)[written], answers[written])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _rate(step: int, num_steps: int) -> float:
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (_LAST_RATE + (1 - _LAST_RATE) * cosine)


def save(policy: Policy, file: Path) -> None:
    """Write the weights; a file that exists is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished.npz")
    np.savez(unfinished, **{name: weight.cpu().numpy() for name, weight in policy.state_dict().items()})
    unfinished.replace(file)


def restore(policy: Policy, file: Path) -> None:
    """Read weights written by `save`; names and shapes must agree."""
    with np.load(file, allow_pickle=False) as weights:
        policy.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
