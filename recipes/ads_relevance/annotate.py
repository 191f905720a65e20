"""A teacher's opinion on pairs: it answers several times, and its answers are counted."""

import numpy as np
import plan
import torch
from reward import read_grade
from teacher import TeacherModel, Vocabulary, sample
from torch import Tensor
from train import Tick


def votes(
    model: TeacherModel,
    vocabulary: Vocabulary,
    prompts: Tensor,
    settings: plan.Annotate,
    *,
    max_grade: int,
    seed: int,
    tick: Tick,
) -> np.ndarray:
    """[N, max_grade + 2] int64: how many answers to each prompt [N, P] gave each grade; last, how many gave none."""
    generator = torch.Generator().manual_seed(seed)
    num_tokens = vocabulary.response_slots
    counts = np.zeros((len(prompts), max_grade + 2), dtype=np.int64)
    for start in range(0, len(prompts), settings.batch):
        batch = prompts[start : start + settings.batch]
        uniforms = torch.rand(len(batch), settings.votes, num_tokens, generator=generator)
        texts = vocabulary.texts(sample(model, batch, uniforms.to(batch.device)))
        for i, text in enumerate(texts):
            grade = read_grade(text, max_grade)
            counts[start + i // settings.votes, max_grade + 1 if grade is None else grade] += 1
        tick()
    return counts


def shares(counts: np.ndarray) -> np.ndarray:
    """[N, max_grade + 1]: the share of each grade among the readable answers; nan where no answer was readable."""
    readable = counts[:, :-1]
    totals = readable.sum(axis=1, keepdims=True)
    return np.divide(readable, totals, out=np.full(readable.shape, np.nan), where=totals > 0)


def score(grade_shares: np.ndarray, positive_from: int) -> np.ndarray:
    """[N] in [0, 1]: how sure it is that a pair is relevant; 0 where nothing is known, so that nothing is shown.

    The share of grades from `positive_from` up decides; the mean grade only orders pairs whose shares are equal, or
    nearly so, and weighs one in a thousand.
    """
    num_grades = grade_shares.shape[1]
    relevant = grade_shares[:, positive_from:].sum(axis=1)
    mean_grade = grade_shares @ np.arange(num_grades) / (num_grades - 1)
    return np.nan_to_num((relevant + 1e-3 * mean_grade) / (1 + 1e-3), nan=0.0)
