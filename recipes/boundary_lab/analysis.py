"""From the results of single runs to figures with intervals, paired differences and the verdict on the claim."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from evaluate import KS, pass_at_k
from intervals import Bootstrap, Interval

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """One configuration: the results of its seeds, in the order of the seeds."""

    key: str
    label: str
    settings: str
    results: tuple[Result, ...]

    def pass_at(self, k: int) -> np.ndarray:
        """[seeds, problems]."""
        return np.array(
            [[pass_at_k(count, result["num_samples"], k) for count in result["num_correct"]] for result in self.results]
        )

    def distinct(self) -> np.ndarray:
        """[seeds, problems]: different right answers among the samples."""
        return np.array([result["num_distinct"] for result in self.results], dtype=float)

    def entropy(self) -> np.ndarray:
        """[seeds, problems], the same for all problems of a seed."""
        return self._per_seed([result["entropy"] for result in self.results])

    def mean_of_curve(self, name: str) -> np.ndarray:
        """[seeds, problems]: mean over all training steps."""
        return self._per_seed([np.mean(result["curves"][name]) for result in self.results])

    def curve(self, name: str) -> list[float]:
        """Mean over seeds, by step."""
        return np.mean([result["curves"][name] for result in self.results], axis=0).round(5).tolist()

    def _per_seed(self, values: list[float]) -> np.ndarray:
        return np.repeat(np.array(values)[:, None], len(self.results[0]["num_correct"]), axis=1)


@dataclass(frozen=True)
class Clause:
    """One part of the claim, and whether the measured difference meets it."""

    text: str
    interval: Interval
    met: bool

    @property
    def verdict(self) -> str:
        return "met" if self.met else "missed"


def figures(arm: Arm, bootstrap: Bootstrap) -> dict[str, Interval]:
    """All figures of one arm; a base has none of training."""
    values = {f"pass@{k}": arm.pass_at(k) for k in KS}
    values |= {"distinct": arm.distinct(), "entropy": arm.entropy()}
    if arm.results[0]["curves"]:
        values |= {name: arm.mean_of_curve(name) for name in ("all_wrong_share", "net_advantage")}
    return {name: bootstrap.interval(array) for name, array in values.items()}


def difference(first: Arm, second: Arm, k: int, bootstrap: Bootstrap) -> Interval:
    """pass@k of the first minus that of the second, paired by seed and problem."""
    return bootstrap.interval(first.pass_at(k) - second.pass_at(k))


def verdict(agpo: Arm, grpo: Arm, base: Arm, bootstrap: Bootstrap) -> list[Clause]:
    """The claim about AGPO, clause by clause; the first three judge the mean, the last one the interval."""
    over_base = difference(agpo, base, 256, bootstrap)
    over_grpo = difference(agpo, grpo, 256, bootstrap)
    at_one = difference(agpo, grpo, 1, bootstrap)
    return [
        Clause("pass@256 of AGPO minus base, at least 0", over_base, over_base.mean >= 0),
        Clause("pass@256 of AGPO minus GRPO, at least 0.05", over_grpo, over_grpo.mean >= 0.05),
        Clause("pass@1 of AGPO minus GRPO, at least -0.01", at_one, at_one.mean >= -0.01),
        Clause("interval of pass@256 of AGPO minus GRPO above 0", over_grpo, over_grpo.low > 0),
    ]


def signed(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
