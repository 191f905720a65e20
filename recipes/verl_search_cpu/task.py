"""verl's reward function: exact match of the last answer that the policy wrote."""

import re

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_DOCS = re.compile(r"<tool>.*?<assistant>", re.DOTALL)


def answer_in(response: str) -> str | None:
    """The last answer outside of what tools said; None without one."""
    found = _ANSWER.findall(_DOCS.sub("", response))
    return found[-1].strip() if found else None


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **unused) -> dict[str, float]:
    """Score one response; verl's reward worker calls it once per response. Every response has the same keys."""
    answer = answer_in(solution_str)
    correct = float(answer == ground_truth)
    return {
        "score": correct,
        "acc": correct,
        "answered": float(answer is not None),
        "searches": float(solution_str.count("</tool_call>")),
    }
