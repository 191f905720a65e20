"""What a policy can do on held-out problems: pass@k, how many different right answers, entropy."""

from collections.abc import Sequence
from math import comb
from typing import Any

import torch
from policy import Policy, answer_logits, answer_mask, sample
from settings import EvaluateSettings
from task import ANSWER_LENGTH, END, Problem, decode, is_right, prompts
from torch import Tensor
from train import mean_entropy

_PROBLEMS_AT_ONCE = 16
_NUM_EXAMPLE_PROBLEMS, _NUM_EXAMPLE_ANSWERS = 8, 6
KS = tuple(2**i for i in range(9))
"""1, 2, 4, ... 256."""


def pass_at_k(num_correct: int, num_samples: int, k: int) -> float:
    """Chance that k of the samples, taken without putting back, hold a right one: unbiased for pass@k.

    1 - C(num_samples - num_correct, k) / C(num_samples, k), in exact integers until the last division.
    Source: arXiv 2107.03374.
    """
    if not 0 < k <= num_samples:
        raise ValueError(f"evaluate: pass@{k} needs at least {k} samples, got {num_samples}; raise num_samples")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


@torch.no_grad()
def evaluate(
    policy: Policy,
    problems: Sequence[Problem],
    settings: EvaluateSettings,
    *,
    seed: int,
) -> dict[str, Any]:
    """Sample `num_samples` answers per problem.

    Returns:
        `num_correct` and `num_distinct`, one integer per problem; `entropy` in nats per token; `examples`: for the
        first problems their text and their first answers, each with whether it is right.
    """
    device = next(policy.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Any] = {"num_correct": [], "num_distinct": [], "examples": []}
    entropies = []
    for start in range(0, len(problems), _PROBLEMS_AT_ONCE):
        some = problems[start : start + _PROBLEMS_AT_ONCE]
        shown = prompts(some).to(device)
        uniform = torch.rand(len(some) * settings.num_samples, ANSWER_LENGTH, generator=generator).to(device)
        answers = sample(policy, shown, uniform, end=END)
        right = is_right(shown.repeat_interleave(settings.num_samples, dim=0), answers)
        entropies.append(_entropy(policy, shown, answers[:: settings.num_samples]))
        answers, right = (part.unflatten(0, (len(some), -1)) for part in (answers, right))
        found["num_correct"] += right.sum(dim=1).tolist()
        found["num_distinct"] += [len(torch.unique(a[r], dim=0)) for a, r in zip(answers, right, strict=True)]
        if len(found["examples"]) < _NUM_EXAMPLE_PROBLEMS:
            found["examples"] += [_example(*triple) for triple in zip(some, answers, right, strict=True)]
    found["examples"] = found["examples"][:_NUM_EXAMPLE_PROBLEMS]
    return {**found, "entropy": sum(entropies) / len(entropies)}


def _entropy(policy: Policy, shown: Tensor, answers: Tensor) -> float:
    """Over one answer per problem."""
    log_probs = answer_logits(policy, shown, answers).log_softmax(dim=-1)
    return mean_entropy(log_probs, answer_mask(answers, end=END))


def _example(problem: Problem, answers: Tensor, right: Tensor) -> dict[str, Any]:
    first = zip(answers[:_NUM_EXAMPLE_ANSWERS].tolist(), right[:_NUM_EXAMPLE_ANSWERS].tolist(), strict=True)
    return {"problem": problem.text, "answers": [(decode(tokens), is_ok) for tokens, is_ok in first]}
