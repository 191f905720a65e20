"""A trajectory of a training run, as the offline scorer reads it."""

from collections.abc import Sequence
from typing import cast

from gainful.infogain.records import BeliefRecord, Trajectory, Turn
from gainful.infogain.tracker import Answers, Asked, Measured
from gainful.infogain.types import AnswerSample, Missing

__all__ = ["trajectory_record"]


def trajectory_record(asked: Asked, measured: Measured, turns: Sequence[Turn], *, rollout: str) -> Trajectory:
    """What `gainful score --html` shows. The outcome is not known while responses arrive.

    Args:
        turns: Those that were probed after; a response that was cut has fewer beliefs, and loses its last ones.
        rollout: Tells the rollouts of a prompt apart.
    """
    kept = tuple(turns[: max(len(measured.answers) - 1, 0)])
    return Trajectory(
        id=f"{asked.policy_version}/{asked.uid}/{rollout}"[:256],
        question=asked.question,
        gold=asked.gold,
        beliefs=tuple(map(_belief, measured.answers)) if len(measured.answers) == len(kept) + 1 else None,
        turns=kept,
        meta={"policy_version": asked.policy_version, "dataset": asked.dataset},
    )


def _belief(answers: Answers) -> BeliefRecord | None:
    if isinstance(answers, Missing):
        return None
    if answers and not isinstance(answers[0], AnswerSample):
        return BeliefRecord(samples=(), gold_logprob=tuple(cast(Sequence[float], answers)))
    return BeliefRecord(samples=tuple(cast(Sequence[AnswerSample], answers)))
