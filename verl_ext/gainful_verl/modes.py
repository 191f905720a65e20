"""Names of the trainer modes that carry signals, apart from the trainers, whose import is not free."""

__all__ = ["COLUMNS", "MODES"]

MODES = {"gainful_sync": "sync", "gainful_colocate_async": "colocate_async"}
"""What users write in `trainer.v1.trainer_mode` -> verl's own mode of which it is an extension."""
COLUMNS = ("entropy", "old_log_probs", "ref_log_prob", "rollout_log_probs", "values")
"""Signals that verl itself computes, under its names: float [B, T]."""
