"""The section on information gain: what `gainful score` says of the trajectories in recipes/infogain_offline."""

import json
from collections.abc import Sequence
from pathlib import Path

from environments import ROOT
from markupsafe import Markup
from report.page import Cell, Fragment, Section, Table
from rich.table import Table as RichTable

from gainful.infogain.config import GainOptions
from gainful.infogain.judges import make_judge
from gainful.infogain.page import scored_fragment
from gainful.infogain.records import MissingMark, Trajectory, read_lines
from gainful.infogain.score import Scored, score_trajectories

TRAJECTORIES = ROOT / "recipes/infogain_offline/trajectories.jsonl"
HEADERS = ("trajectory", "gain of each search", "total gain", "outcome", "reward")


def score() -> list[Scored]:
    """With the defaults of `gainful score`; takes no model, since the file holds the sampled answers."""
    options = GainOptions()
    with TRAJECTORIES.open("rb") as lines:
        trajectories = [trajectory for _, trajectory in read_lines(TRAJECTORIES, lines, Trajectory)]
    judge = make_judge(options.judge)
    try:
        return score_trajectories(trajectories, judge, options)
    finally:
        judge.close()


def write(file: Path, scored: Sequence[Scored]) -> None:
    """The rows as `gainful score` would write them."""
    file.write_text(json.dumps([one.row.model_dump(mode="json") for one in scored], indent=1) + "\n")


def rows(scored: Sequence[Scored]) -> list[tuple[str, ...]]:
    """One row per trajectory."""
    return [
        (
            one.trajectory.id,
            ", ".join(map(_number, one.row.gains)) or "no search",
            _number(one.row.total),
            "unknown" if one.trajectory.outcome is None else f"{one.trajectory.outcome:g}",
            _number(one.row.reward),
        )
        for one in scored
    ]


def _number(value: float | MissingMark) -> str:
    return "missing" if isinstance(value, MissingMark) else f"{value:.2f}"


def table(scored: Sequence[Scored]) -> RichTable:
    """The table for the terminal."""
    shown = RichTable(*HEADERS, title="What each search of a saved trajectory brought")
    for row in rows(scored):
        shown.add_row(*row)
    return shown


def section(scored: Sequence[Scored]) -> Section:
    """The section of the page."""
    return Section(
        title="Information gain: what each search told the policy",
        lead=(
            "A belief is the spread of answers that a policy samples before and after each search. A gain is how much "
            "closer to the right answer a search brought it. The trajectories are invented, to show one case each."
        ),
        blocks=(
            Table(
                HEADERS,
                tuple(tuple(map(Cell, row)) for row in rows(scored)),
                "Gain: change of the share of sampled answers that match the right one. Reward: outcome + 0.6 x total "
                "gain. A belief that was not measured leaves gains missing, never zero.",
            ),
            *(
                Fragment(f"Beliefs: {one.trajectory.id}", Markup(scored_fragment(one)))  # noqa: S704  (escaped by its writer)
                for one in scored
            ),
        ),
    )
