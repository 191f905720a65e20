"""The student: hashed words of query and ad, a small net, a probability for each grade; it writes nothing."""

import zlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
import plan
import torch
from teacher import words_of
from torch import Tensor, nn
from torch.nn import functional
from train import Tick

_NO_WORD = 0
_MAX_WORDS = 64
"""Of a query or an ad; later words are left out."""


class LessonError(ValueError):
    """There is nothing to learn from."""


class StudentModel(nn.Module):
    """Sums of word vectors for query and ad, their product and difference, one hidden layer."""

    def __init__(self, num_grades: int, settings: plan.Student):
        super().__init__()
        self.query, self.ad = (
            nn.EmbeddingBag(settings.buckets + 1, settings.width, mode="sum", padding_idx=_NO_WORD) for _ in range(2)
        )
        self.head = nn.Sequential(
            nn.Linear(4 * settings.width, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, num_grades)
        )

    def forward(self, queries: Tensor, ads: Tensor) -> Tensor:
        """[N, num_grades] logits; `queries` and `ads` as `hashed` gives them."""
        query, ad = self.query(queries), self.ad(ads)
        return self.head(torch.cat([query, ad, query * ad, (query - ad).abs()], dim=1))


def hashed(texts: Iterable[str], num_buckets: int) -> Tensor:
    """[N, words] int64: the bucket of each word, from 1; 0 where a text has no more words."""
    rows = [[1 + zlib.crc32(word.encode()) % num_buckets for word in words_of(text)[:_MAX_WORDS]] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [_NO_WORD] * (longest - len(row)) for row in rows], dtype=torch.int64)


def teach(
    pairs: pd.DataFrame,
    targets: np.ndarray,
    settings: plan.Student,
    *,
    seed: int,
    device: torch.device,
    tick: Tick,
) -> StudentModel:
    """Train a new student.

    Args:
        pairs: N pairs.
        targets: [N, grades] probabilities; rows with nan are left out.
        settings: Of the student.
        seed: Of weights and batches.
        device: Where it is trained.
        tick: Called after each step.

    Raises:
        LessonError: No row is left.
    """
    known = np.flatnonzero(~np.isnan(targets).any(axis=1))
    if not len(known):
        raise LessonError(
            f"student: the teacher must give a readable grade to one pair at least, got none on {len(pairs)}; give "
            "the supervised stage more steps or more pairs"
        )
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = StudentModel(targets.shape[1], settings).to(device)
    queries, ads = (hashed(pairs[name].iloc[known], settings.buckets).to(device) for name in ("query", "ad"))
    wanted = torch.from_numpy(targets[known]).float().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        rows = torch.randint(len(known), (settings.batch,), generator=generator)
        loss = functional.cross_entropy(model(queries[rows], ads[rows]), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        tick()
    return model


@torch.no_grad()
def grade_shares(model: StudentModel, pairs: pd.DataFrame, settings: plan.Student) -> np.ndarray:
    """[N, grades] float64: the student's probabilities."""
    device = model.head[0].weight.device
    queries, ads = (hashed(pairs[name], settings.buckets).to(device) for name in ("query", "ad"))
    return model(queries, ads).double().softmax(dim=1).cpu().numpy()
