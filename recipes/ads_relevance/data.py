"""Query-ad pairs: written by the recipe or read from a user's file, checked row by row, and split by query.

Columns of a labelled file:

    query, ad     text
    label         integer, 0 to max_grade: the grade, verified
    annotation    optional integer: a cheaper, perhaps wrong grade; the supervised stage learns from it, else from label
    rationale     optional text: reasons that go with the annotation; else the words that query and ad share

An unlabelled file has `query` and `ad`. Other columns are left alone.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from plan import Data, World
from pyarrow import ArrowInvalid, parquet
from reward import truth_text
from rules import Annotators, ad_of_grade, all_queries, judge

PARTS = ("supervised", "reinforced", "validation", "test")
_MAX_SHARED_WORDS = 4


class DataError(ValueError):
    """A file is not what the recipe needs."""


@dataclass(frozen=True)
class Columns:
    """What a user's file calls its columns; three different names, or `DataError`."""

    query: str = "query"
    ad: str = "ad"
    label: str = "label"

    def __post_init__(self):
        names = (self.query, self.ad, self.label)
        if len(set(names)) < len(names):
            raise DataError(f"data: query, ad and label must be three columns, got {', '.join(names)}")


@dataclass(frozen=True)
class Parts:
    """Checked data; no query is in two of the first four, and none of validation or test in `unlabelled`."""

    supervised: pd.DataFrame
    reinforced: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    unlabelled: pd.DataFrame
    num_dropped: int
    """Unlabelled pairs left out because their query is in validation or test."""


def write_world(folder: Path, world: World) -> tuple[Path, Path]:
    """Write the synthetic data: (labelled.parquet, unlabelled.parquet)."""
    rng = random.Random(world.seed)  # noqa: S311  (not a secret)
    queries = rng.sample(all_queries(), world.labelled_queries + world.unlabelled_queries)
    annotators = Annotators(rng, unfamiliar_max=world.unfamiliar_max, slip_rate=world.slip_rate)
    grades = _grades(world, len(queries), rng)
    rows = [
        _row(query, grade, annotators, rng)
        for query, of_query in zip(queries, grades, strict=True)
        for grade in of_query
    ]
    num_labelled = world.labelled_queries * world.ads_per_query
    folder.mkdir(parents=True, exist_ok=True)
    labelled, unlabelled = folder / "labelled.parquet", folder / "unlabelled.parquet"
    pd.DataFrame(rows[:num_labelled]).to_parquet(labelled, index=False)
    pd.DataFrame(rows[num_labelled:])[["query", "ad"]].to_parquet(unlabelled, index=False)
    return labelled, unlabelled


def _grades(world: World, num_queries: int, rng: random.Random) -> list[list[int]]:
    """The grades of each query's ads, in the declared shares."""
    count = num_queries * world.ads_per_query
    flat = rng.choices(range(len(world.grade_shares)), world.grade_shares, k=count)
    return [flat[i : i + world.ads_per_query] for i in range(0, count, world.ads_per_query)]


def _row(query, grade: int, annotators: Annotators, rng: random.Random) -> dict[str, object]:
    ad = ad_of_grade(query, grade, rng)
    annotation, rationale = annotators.annotate(query, ad)
    style = sum(map(len, filter(None, query)))  # a query is always written in the same way
    return {
        "query": query.text(style),
        "ad": ad.text(rng.randrange(2)),
        "label": judge(query, ad).grade,
        "annotation": annotation,
        "rationale": rationale,
    }


def read_labelled(file: Path, columns: Columns, limits: Data) -> pd.DataFrame:
    """Read and check a labelled file; the result has all five columns of the schema.

    Raises:
        DataError: A column is missing, or a value is null, of the wrong type, too long or out of range.
    """
    renamed = {columns.query: "query", columns.ad: "ad", columns.label: "label"}
    optional = [name for name in ("annotation", "rationale") if name in _column_names(file) and name not in renamed]
    frame = _read(file, [*renamed, *optional]).rename(columns=renamed)
    for name in ("query", "ad", *({"rationale"} & set(optional))):
        _check_text(frame[name], name, file, limits.max_characters)
    for name in ("label", *({"annotation"} & set(optional))):
        frame[name] = _checked_grades(frame[name], name, file, limits.max_grade)
    if "annotation" not in frame:
        frame["annotation"] = frame["label"]
    if "rationale" not in frame:
        frame["rationale"] = [shared_words(query, ad) for query, ad in zip(frame["query"], frame["ad"], strict=True)]
    return frame


def read_unlabelled(file: Path, columns: Columns, limits: Data) -> pd.DataFrame:
    """Read and check an unlabelled file.

    Raises:
        DataError: As for `read_labelled`.
    """
    renamed = {columns.query: "query", columns.ad: "ad"}
    frame = _read(file, list(renamed)).rename(columns=renamed)
    for name in ("query", "ad"):
        _check_text(frame[name], name, file, limits.max_characters)
    return frame


def shared_words(query: str, ad: str) -> str:
    """The rationale where a file has none: what anybody can see."""
    in_ad = set(ad.lower().split())
    shared = [word for word in dict.fromkeys(query.lower().split()) if word in in_ad]
    return f"shared {' '.join(shared[:_MAX_SHARED_WORDS]) or 'nothing'}"


def split(labelled: pd.DataFrame, unlabelled: pd.DataFrame | None, settings: Data) -> Parts:
    """Split by query; what is distilled never holds a query of validation or test.

    Args:
        labelled: What `read_labelled` returns.
        unlabelled: What `read_unlabelled` returns; None: the pairs of the two training parts, without their labels.
        settings: Shares, and how many positives validation and test need.

    Raises:
        DataError: A part has too few pairs on either side of `positive_from`.
    """
    names = _part_of_query(labelled["query"], settings)
    parts = {name: labelled[(names == name).to_numpy()].reset_index(drop=True) for name in PARTS}
    for name, part in parts.items():
        _check_both_classes(part, name, settings)
    if unlabelled is None:
        unlabelled = pd.concat([parts["supervised"], parts["reinforced"]])
    held_out = set(parts["validation"]["query"]) | set(parts["test"]["query"])
    kept = unlabelled.loc[~unlabelled["query"].isin(held_out), ["query", "ad"]].reset_index(drop=True)
    if kept.empty:
        raise DataError("data: no unlabelled pair is left whose query is neither in validation nor in test; add some")
    return Parts(**parts, unlabelled=kept, num_dropped=len(unlabelled) - len(kept))


def prompt_text(query: str, ad: str, max_grade: int) -> str:
    """What a chat model is asked; the tiny teacher reads query and ad alone."""
    return (
        f"Query: {query}\nAd: {ad}\n\nHow well does the ad serve the query, from 0 (not at all) to {max_grade} "
        "(exactly)? Give your reasons in one short sentence, then end with 'grade N'."
    )


def ground_truths(frame: pd.DataFrame, max_grade: int) -> list[str]:
    """The labels as the reward function reads them."""
    return [truth_text(int(label), max_grade) for label in frame["label"]]


def _part_of_query(queries: pd.Series, settings: Data) -> pd.Series:
    """The part of each row."""
    distinct = sorted(set(queries))
    random.Random(settings.seed).shuffle(distinct)  # noqa: S311  (not a secret)
    shares = (settings.supervised_share, settings.reinforced_share, settings.validation_share)
    ends = np.round(np.cumsum(shares) * len(distinct)).astype(int)
    part = np.searchsorted(ends, np.arange(len(distinct)), side="right")
    return queries.map({query: PARTS[i] for query, i in zip(distinct, part, strict=True)})


def _check_both_classes(part: pd.DataFrame, name: str, settings: Data) -> None:
    positives = int((part["label"] >= settings.positive_from).sum())
    if min(positives, len(part) - positives) < settings.min_positives:
        raise DataError(
            f"data: the {name} part must have at least {settings.min_positives} pairs of label "
            f"{settings.positive_from} or above and as many below, got {positives} and {len(part) - positives}; add "
            "pairs or set --positive-from to another grade"
        )


def _column_names(file: Path) -> list[str]:
    try:
        return list(parquet.read_schema(file).names)
    except (OSError, ArrowInvalid) as error:
        raise DataError(f"data: {file} must be a parquet file: {error}") from error


def _read(file: Path, names: list[str]) -> pd.DataFrame:
    found = _column_names(file)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"data: {file} must have the columns {', '.join(names)}; missing: {', '.join(missing)}; found: "
            f"{', '.join(found)}; see --query-column, --ad-column, --label-column"
        )
    return pd.read_parquet(file, columns=names)


def _check_text(column: pd.Series, name: str, file: Path, max_characters: int) -> None:
    for row, value in enumerate(column):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"data: {file}, row {row}: {name} must be text that is not blank, got {value!r}")
        if len(value) > max_characters:
            raise DataError(
                f"data: {file}, row {row}: {name} must have at most {max_characters} characters, got {len(value)}; "
                "shorten it or raise max_characters"
            )


def _checked_grades(column: pd.Series, name: str, file: Path, max_grade: int) -> pd.Series:
    """The column as int64, every value a whole number from 0 to `max_grade`."""
    for row, value in enumerate(column):
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or value not in range(max_grade + 1):
            raise DataError(
                f"data: {file}, row {row}: {name} must be a whole number from 0 to {max_grade}, got {value!r}; "
                "see --max-grade"
            )
    return column.astype("int64")
