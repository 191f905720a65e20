"""`algorithm.gainful` of a run with `info_gain`: one section, read by the estimator and by the agent loop."""

from collections.abc import Mapping
from typing import Any

from gainful.advantage.info_gain_credit import InfoGainConfig
from gainful.infogain.config import expand_preset
from gainful.infogain.training import TRAINING_PRESETS, TrainingOptions, read_training
from gainful_verl.options import SECTION, AdapterOptions, plain_section

__all__ = ["carries_gains", "credit_section", "training_options"]

ESTIMATORS = ("info_gain", "gainful_info_gain")
"""Names in verl under which gains are read."""


def carries_gains(algorithm: Any) -> bool:
    """Whether the estimator of a run reads gains."""
    name = algorithm.get("adv_estimator")
    return str(getattr(name, "value", name)) in ESTIMATORS


def training_options(algorithm: Any) -> TrainingOptions:
    """What the agent loop reads; without `info_gain` the section belongs to another estimator, and nothing is probed.

    Raises:
        ConfigError: An option is unknown or impossible.
    """
    if not carries_gains(algorithm):
        return TrainingOptions(enabled=False)
    section = plain_section(algorithm)
    only_here = {*InfoGainConfig.model_fields, *AdapterOptions.model_fields} - {*TrainingOptions.model_fields}
    return read_training({key: value for key, value in section.items() if key not in only_here}, where=SECTION)


def credit_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """What the estimator reads, after everything that the loop reads was checked; the preset filled in.

    Raises:
        ConfigError: An option that the loop reads is impossible.
    """
    loop_keys = {key: value for key, value in section.items() if key in TrainingOptions.model_fields}
    read_training(loop_keys, where=SECTION)
    expanded = expand_preset(section, TRAINING_PRESETS)
    only_loop = TrainingOptions.model_fields.keys() - InfoGainConfig.model_fields.keys()
    return {key: value for key, value in expanded.items() if key not in only_loop}
