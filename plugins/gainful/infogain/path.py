"""From beliefs measured along a trajectory to one value per turn that a reward tensor can carry."""

from collections.abc import Sequence

from gainful.carry import Runs, carriable
from gainful.infogain.gain import Increments, fixed_baseline_gains, turn_gains
from gainful.infogain.types import Missing, Value

__all__ = ["probe_of_each_turn", "values_to_carry"]


def probe_of_each_turn(turns: Runs, measured_at: Sequence[int]) -> list[int | None]:
    """[K - 1] index of the probe that was made between each turn and the next; the latest if there were several.

    Args:
        turns: [K, 2] the turns of the response as it is trained on, cut where that is cut.
        measured_at: [P] tokens of the response that each probe's prefix held, in the order of time. A probe within
            a turn, or after the last, is nobody's.
    """
    places: list[int | None] = []
    for end, start in zip(turns[:-1, 1].tolist(), turns[1:, 0].tolist(), strict=True):
        between = [place for place, num_tokens in enumerate(measured_at) if end <= num_tokens <= start]
        places.append(between[-1] if between else None)
    return places


def values_to_carry(
    turns: Runs, uncertainties: Sequence[Value], *, increments: Increments, gamma: float
) -> list[float | None]:
    """[K - 1] what each turn before the last carries; None where nothing can stand there.

    Telescoping gains without a discount: v(k) is the reward-to-go of turn k less that of the next turn whose own is
    known, so sums from any known turn to the end are right whatever is missing in between. Otherwise nothing can
    stand for a missing gain, and a row with one carries none at all. A turn of one token has no room.
    """
    room = carriable(turns).tolist()
    if not room:
        return []
    if increments == "telescoping" and gamma == 1:
        return _steps_to_go(turn_gains(uncertainties).reward_to_go, room)
    gains = fixed_baseline_gains(uncertainties) if increments == "fixed" else turn_gains(uncertainties).values
    known = [gain for gain in gains if not isinstance(gain, Missing)]
    return [*known] if len(known) == len(room) and all(room) else [None] * len(room)


def _steps_to_go(to_go: Sequence[Value], room: Sequence[bool]) -> list[float | None]:
    values: list[float | None] = []
    later = 0.0
    for value, fits in zip(reversed(to_go), reversed(room), strict=True):
        if isinstance(value, Missing) or not fits:
            values.append(None)
        else:
            values.append(value - later)
            later = value
    return values[::-1]
