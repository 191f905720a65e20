"""verl's reward function for open questions with several right answers: exact match after normalisation."""

from collections.abc import Mapping

from task import answer_in

from gainful.infogain import normalize


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **unused) -> dict[str, float]:
    """1 if the last answer equals one of the gold answers, which are text, a list, or {"target": ...}."""
    gold = ground_truth["target"] if isinstance(ground_truth, Mapping) else ground_truth
    aliases = [gold] if isinstance(gold, str) else list(gold)
    answer = answer_in(solution_str)
    correct = float(answer is not None and normalize(answer) in map(normalize, aliases))
    return {"score": correct, "acc": correct, "answered": float(answer is not None)}
