"""Trainer modes that fetch what an estimator needs beyond what verl passes: `trainer.v1.trainer_mode=gainful_sync`.

verl's trainers narrow a batch to seven columns before they compute advantages. Each mode here is verl's own trainer,
registered through `register_trainer`, which fetches more columns of the same rows first and then goes on as verl does.
Imported by `autoload` once verl has its own trainers.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import transfer_queue
from omegaconf import open_dict
from verl.trainer.ppo.v1 import PPOTrainerColocateAsync, PPOTrainerSync, register_trainer

from gainful.advantage.tabulate import tabulate
from gainful.errors import MissingInputError
from gainful_verl.adapt import HOST_FUNCTIONS
from gainful_verl.modes import COLUMNS, MODES
from gainful_verl.options import read
from gainful_verl.register import registered
from gainful_verl.signals import Carried, carried
from gainful_verl.stats import last_statistics

__all__ = ["carrying", "fetch"]


def carrying(stock: type, stock_mode: str) -> type:
    """A subclass of verl's trainer `stock` that carries signals to the estimator of the run."""

    class CarryingTrainer(stock):
        """verl's trainer, which fetches what the chosen estimator lists in `needs` and `optional`."""

        def __init__(self, config: Any):
            with open_dict(config):
                config.trainer.v1.trainer_mode = stock_mode  # verl compares it with its own names in several places
            super().__init__(config)

        def _compute_advantage(self, batch: Any, metrics: dict) -> Any:
            algorithm = self.config.algorithm
            spec = registered().get(str(algorithm.adv_estimator))
            if spec is None:
                return super()._compute_advantage(batch, metrics)
            with carried(fetch(batch, spec.needs, [name for name in spec.optional if name not in HOST_FUNCTIONS])):
                result = super()._compute_advantage(batch, metrics)
            if read(algorithm, spec)[0].log_stats:
                metrics.update(last_statistics(spec.name))
            return result

    CarryingTrainer.__name__ = CarryingTrainer.__qualname__ = f"Gainful{stock.__name__}"
    return CarryingTrainer


def fetch(batch: Any, needs: Sequence[str], optional: Sequence[str] = ()) -> Carried:
    """Fetch signals of the rows of a batch from TransferQueue.

    Args:
        batch: verl's `KVBatchMeta`.
        needs: Signals that must be there: columns of verl's, or entries of each row's `extra_fields` or of the
            `reward_extra_info` in them.
        optional: Signals that are taken if any row has them.

    Raises:
        MissingInputError: A needed signal is missing, or any signal in some of the rows.
        InputError: A value does not fit the signal.
    """
    columns = [name for name in needs if name in COLUMNS]
    data = transfer_queue.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["uid", "response_mask", *columns]
    ).to_padded_tensor()
    uids = np.array(list(data["uid"]), dtype=object)
    tensors = {name: data[name] for name in columns}
    wanted = [name for name in (*needs, *optional) if name not in COLUMNS]
    if wanted:
        rows = _side_fields(batch)
        for name in _present(wanted, rows, needs):
            tensors[name] = tabulate(name, _entries(name, rows), data["response_mask"])
    return Carried(uids, tensors)


def _side_fields(batch: Any) -> list[dict[str, Any]]:
    """What agent loop and reward function left for each row, in one dictionary."""
    column = transfer_queue.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
    )["extra_fields"]
    rows = (getattr(row, "data", row) for row in column)
    return [{**(row.get("reward_extra_info") or {}), **row} for row in rows]


def _present(wanted: Iterable[str], rows: list[dict[str, Any]], needs: Sequence[str]) -> list[str]:
    return [name for name in wanted if name in needs or any(name in row for row in rows)]


def _entries(name: str, rows: list[dict[str, Any]]) -> list[Any]:
    missing = [row for row, fields in enumerate(rows) if name not in fields]
    if missing:
        there = ", ".join(sorted(map(str, rows[missing[0]]))) or "nothing"
        raise MissingInputError(
            f"gainful: signal {name!r} is missing in {len(missing)} of {len(rows)} rows; have the agent loop put it "
            "into its output's extra_fields, or the reward function return it beside the score. "
            f"Row {missing[0]} has {there}"
        )
    return [fields[name] for fields in rows]


for _mode, _stock in zip(MODES, (PPOTrainerSync, PPOTrainerColocateAsync), strict=True):
    register_trainer(_mode)(carrying(_stock, MODES[_mode]))
