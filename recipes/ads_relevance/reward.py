"""The verifiable reward: what the last words of a response say, compared with the label. Needs only Python.

One implementation for the run on the CPU and for verl: `reward.custom_reward_function.path=reward.py`.

A response gives its reasons in any words and ends with `grade N`. The reward is 1 for the right grade, `NEAR_CREDIT`
for a grade beside it unless there are only two grades, and 0 for any other and for a response without a readable grade.
`NEAR_CREDIT` is below the 0.5 of AGPO's `success_threshold`, so only the exact grade counts as right: a near miss is
pushed down, but less than a far one.
"""

import re

DATA_SOURCE = "ads_relevance"
NEAR_CREDIT = 0.25
"""Ours."""
_TAIL_CHARACTERS = 64
"""The grade must stand within the last characters; nothing before them is read, however long a response is."""
_GRADE = re.compile(r"\bgrade:? ?([0-9])[.*\s]{0,8}\Z", re.ASCII | re.IGNORECASE)
_TRUTH = re.compile(r"([0-9])/([1-9])", re.ASCII)


def truth_text(label: int, max_grade: int) -> str:
    """The label and its range as one word, `2/3`: verl hands it to `compute_score` as `ground_truth`."""
    return f"{label}/{max_grade}"


def read_grade(response: str, max_grade: int) -> int | None:
    """The grade that a response ends with; None if it ends otherwise or the grade is above `max_grade`."""
    match = _GRADE.search(response[-_TAIL_CHARACTERS:])
    if match is None or int(match[1]) > max_grade:
        return None
    return int(match[1])


def reward_for(grade: int | None, label: int, max_grade: int) -> float:
    """The reward, 0 to 1."""
    if grade == label:
        return 1.0
    is_near = grade is not None and abs(grade - label) == 1
    return NEAR_CREDIT if is_near and max_grade > 1 else 0.0


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **unused) -> dict[str, float]:
    """Score one response; verl's reward worker calls it once per response.

    Args:
        data_source: Must be `DATA_SOURCE`.
        solution_str: The decoded response, without special tokens.
        ground_truth: The label and its range, as `truth_text` writes them.
        extra_info: Not used.
        **unused: Whatever else verl passes.

    Returns:
        `score`, the reward; `acc`, 1.0 for the exact grade; `readable`, 1.0 if the response ends with a grade.

    Raises:
        ValueError: `data_source` or `ground_truth` is not what the recipe's export writes.
    """
    if data_source != DATA_SOURCE:
        raise ValueError(f"reward: data_source must be {DATA_SOURCE!r}, got {data_source!r}; check data.train_files")
    match = _TRUTH.fullmatch(ground_truth)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(f"reward: ground_truth must look like '2/3', got {ground_truth!r}; export the data again")
    label, max_grade = int(match[1]), int(match[2])
    grade = read_grade(solution_str, max_grade)
    reward = reward_for(grade, label, max_grade)
    return {"score": reward, "acc": float(reward == 1.0), "readable": float(grade is not None)}
