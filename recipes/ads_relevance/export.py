"""The same data and the same reward for stock verl: parquet files and the reward function beside them."""

import shutil
from pathlib import Path

import pandas as pd
from data import Parts, ground_truths, prompt_text
from reward import DATA_SOURCE

REWARD = Path(__file__).with_name("reward.py")
VERL_PARTS = {"train": "reinforced", "val": "validation", "test": "test"}


def write_verl(folder: Path, parts: Parts, max_grade: int) -> list[Path]:
    """Write `train.parquet`, `val.parquet`, `test.parquet` and `reward.py`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.parquet" for name in VERL_PARTS]
    for file, part in zip(files, VERL_PARTS.values(), strict=True):
        as_rows(getattr(parts, part), file.stem, max_grade).to_parquet(file, index=False)
    return [*files, Path(shutil.copy(REWARD, folder))]


def as_rows(pairs: pd.DataFrame, split: str, max_grade: int) -> pd.DataFrame:
    """The columns that verl's data set and its reward workers read."""
    truths = ground_truths(pairs, max_grade)
    return pd.DataFrame(
        {
            "data_source": DATA_SOURCE,
            "prompt": [{"role": "user", "content": prompt_text(pair.query, pair.ad, max_grade)}],
            "ability": "relevance",
            "reward_model": {"style": "rule", "ground_truth": truth},
            "extra_info": {"index": index, "split": split, "query": pair.query, "ad": pair.ad},
        }
        for index, (pair, truth) in enumerate(zip(pairs.itertuples(), truths, strict=True))
    )
