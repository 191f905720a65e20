"""What a row of verl's data says about a trajectory."""

from collections.abc import Mapping
from typing import Any

from gainful.infogain.tracker import Asked

__all__ = ["asked", "is_training"]


def asked(row: Mapping[str, Any]) -> Asked:
    """Question, gold answers and origin of a row, as verl hands it to an agent loop."""
    gold = (row.get("reward_model") or {}).get("ground_truth")
    if isinstance(gold, Mapping):
        gold = gold.get("target")
    return Asked(
        uid=str(row.get("uid", "")),
        dataset=str(row.get("data_source", "")),
        question=_question(row),
        gold=_texts(gold),
        policy_version=int(row.get("global_steps", -1)),
    )


def is_training(row: Mapping[str, Any], sampling_params: Mapping[str, Any], rollout: Any) -> bool:
    """Whether gains are wanted: verl does not tell a loop that it validates.

    The row may say so in `extra_info.split`. Else sampling as in validation, if training samples differently, is
    validation. A mistake costs probes and no more, since the sum of a row's rewards is the outcome either way.
    """
    split = (row.get("extra_info") or {}).get("split")
    if split is not None:
        return str(split) == "train"
    names = ("temperature", "top_p", "top_k")
    validation = [rollout.val_kwargs[name] for name in names]
    differs = validation != [rollout[name] for name in names]
    return not (differs and validation == [sampling_params.get(name) for name in names])


def _question(row: Mapping[str, Any]) -> str:
    """Of `extra_info.question`, else the last thing a user said."""
    question = (row.get("extra_info") or {}).get("question")
    if question is not None:
        return str(question)
    said = [message["content"] for message in row.get("raw_prompt", ()) if message.get("role") == "user"]
    return str(said[-1]) if said else ""


def _texts(gold: Any) -> tuple[str, ...]:
    if gold is None:
        return ()
    return (gold,) if isinstance(gold, str) else tuple(str(alias) for alias in gold)
