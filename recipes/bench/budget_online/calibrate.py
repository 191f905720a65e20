"""Fits the assumptions of the simulation to the runs of a store.

Each is a share or a mean over the requests that it speaks of. Where there are too few of them, the default stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from noise import Noise
from reading import Step

MIN_CASES = 20
"""With fewer a default stays (ours)."""
_ONE_DEVIATION_BELOW = NormalDist().cdf(-1)
_READER = {"right_with_all_gold": "all", "right_with_some_gold": "some", "right_with_no_gold": "none"}
"""By how much of the gold was read."""


@dataclass(frozen=True)
class Fit:
    """A fitted value and what it rests on."""

    value: float
    cases: int


Fits = dict[str, Fit]


def calibrate(steps: Sequence[Step], default: Noise) -> tuple[Noise, Fits]:
    """Assumptions with everything replaced that enough requests speak of; all fits, the unused ones too."""
    fits: Fits = {}
    for part in (_reader, _habits, _queries, _critic, _lengths):
        fits |= part(steps)
    fits |= _tracker(steps, fits)
    kept = {name: round(fit.value, 4) for name, fit in fits.items() if fit.cases >= MIN_CASES}
    return Noise(**{**default.model_dump(), **kept}), fits


def _reader(steps: Sequence[Step]) -> Fits:
    """Shares of right answers for all, some and no gold, as if nothing else had been read; and what the rest costs."""
    answers = [step for step in steps if step.answer or step.kind.endswith("answer")]
    groups = {name: [step for step in answers if step.gold == gold] for name, gold in _READER.items()}
    loss = _loss(list(groups.values()))
    fits = {} if loss is None else {"loss_per_10_others": loss}
    slope = 0.0 if loss is None else loss.value
    for name, group in groups.items():
        if group:
            level = float(np.mean([step.right + slope * step.others / 10 for step in group]))
            fits[name] = Fit(min(1.0, level), len(group))
    return {
        **fits,
        **_share("abstains_when_wrong", [step for step in answers if not step.right], lambda step: step.abstains),
        **_share("form_error", [step for step in answers if step.right], lambda step: step.score < 1),
    }


def _loss(groups: Sequence[Sequence[Step]]) -> Fit | None:
    """Least squares within groups of equal gold: how much less is right per 10 other passages, at least 0."""
    others, right = [], []
    for group in groups:
        for values, of in ((others, [step.others / 10 for step in group]), (right, [step.right for step in group])):
            values.extend(np.array(of, dtype=float) - np.mean(of) if of else ())
    spread = float(np.dot(others, others))
    if spread <= 0:
        return None
    slope = -float(np.dot(others, right)) / spread
    return Fit(min(1.0, max(0.0, slope)), sum(value != 0 for value in others))


def _habits(steps: Sequence[Step]) -> Fits:
    """Stops where the prompt lets it choose, and no tracker of the budget stands in it."""
    free = [step for step in steps if step.may_choose and step.left_share is None]
    return {
        **_share("stops_when_ready", [step for step in free if step.gold == "all"], _stopped),
        **_share("stops_when_not_ready", [step for step in free if step.gold != "all"], _stopped),
    }


def _queries(steps: Sequence[Step]) -> Fits:
    """A right query is one that finds a gold passage, as often as the gold query itself would find one."""
    written = [step for step in steps if step.query and step.could_write and not step.told]
    could = sum(step.could_find for step in written)
    fits = {}
    if could:
        value = min(1.0, sum(step.finds for step in written) / could)
        fits["right_query"] = Fit(value, could)
    wrong = [step for step in written if step.could_find and not step.finds and step.earlier]
    return {**fits, **_share("repeats_query", wrong, lambda step: step.repeats)}


def _critic(steps: Sequence[Step]) -> Fits:
    """Score less the share of gold passages: its median, and from there down to where a sixth of them lie below.

    Scores end at 0 and 1, which a mean would feel; for the same reason only shares in between count.
    """
    rated = [step for step in steps if step.rating is not None and 0 < step.gold_share < 1]
    if not rated:
        return {}
    low, middle = np.quantile([step.rating - step.gold_share for step in rated], [_ONE_DEVIATION_BELOW, 0.5])
    bias, deviation = min(1.0, max(0.0, float(middle))), min(1.0, float(middle - low))
    return {"critic_bias": Fit(bias, len(rated)), "critic_deviation": Fit(deviation, len(rated))}


def _lengths(steps: Sequence[Step]) -> Fits:
    """Mean output tokens by kind. A thought is what a thinking step has beyond a plain one."""
    kinds = {"proposal_tokens": "proposal", "tool_call_tokens": "tool call", "critic_tokens": "rating"}
    counts = {name: [step.tokens for step in steps if step.kind == kind] for name, kind in kinds.items()}
    counts["answer_tokens"] = [step.tokens for step in steps if step.kind == "answer"]
    fits = {name: Fit(max(1.0, float(np.mean(of))), len(of)) for name, of in counts.items() if of}
    thinking = [step.tokens for step in steps if step.kind == "thought, tool call"]
    if thinking and "tool_call_tokens" in fits:
        beyond = float(np.mean(thinking)) - fits["tool_call_tokens"].value
        fits["thought_tokens"] = Fit(max(1.0, beyond), len(thinking))
    relative = [count / np.mean(of) for of in counts.values() if len(of) > 1 for count in of]
    if relative:  # the deviation of an even draw from +-s is s / sqrt(3)
        fits["token_spread"] = Fit(min(1.0, float(np.sqrt(3) * np.std(relative))), len(relative))
    return fits


def _tracker(steps: Sequence[Step], fits: Fits) -> Fits:
    """Of the stops before it is ready, the share that a full budget in the prompt takes away. Cases are such stops."""
    habit = fits.get("stops_when_not_ready")
    told = [step for step in steps if step.may_choose and step.left_share and step.gold != "all"]
    if not told or habit is None or not habit.value:
        return {}
    stops = sum(step.stopped for step in told)
    share = float(np.mean([step.left_share for step in told]))
    strength = min(1.0, max(0.0, (1 - stops / len(told) / habit.value) / share))
    return {"tracker_strength": Fit(strength, min(stops, round(habit.value * habit.cases)))}


def _stopped(step: Step) -> bool:
    return step.stopped


def _share(name: str, steps: Sequence[Step], holds: Callable[[Step], bool]) -> Fits:
    return {name: Fit(float(np.mean([holds(step) for step in steps])), len(steps))} if steps else {}


def as_toml(noise: Noise, fits: Fits, default: Noise, about: str) -> str:
    """In the form of `noise.toml`, with what each value rests on."""
    lines = [f"# {about}; values with fewer than {MIN_CASES} cases are the defaults", "", "[default]"]
    for name, value in noise.model_dump().items():
        fit = fits.get(name)
        why = f"{fit.cases} cases" if fit and fit.cases >= MIN_CASES else "default"
        if fit and fit.cases < MIN_CASES:
            why += f"; {fit.value:.2f} in {fit.cases} cases"
        lines.append(f"{name} = {value:g}  # {why}; assumed {getattr(default, name):g}")
    return "\n".join(lines) + "\n"
