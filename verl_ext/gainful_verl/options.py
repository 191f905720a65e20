"""`algorithm.gainful` of verl's configuration -> frozen option sets."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gainful.catalog import EstimatorSpec
from gainful.config import Options, from_mapping
from gainful.errors import ConfigError

__all__ = ["SECTION", "AdapterOptions", "read"]

SECTION = "algorithm.gainful"


class AdapterOptions(Options):
    """Options of the adapter itself, beside those of the chosen estimator."""

    log_stats: bool = False
    """One log line per update with the statistics of `gainful.advantage.diagnostics`."""


def read(algorithm: Any, spec: EstimatorSpec) -> tuple[AdapterOptions, Options]:
    """Read the section of an estimator.

    Args:
        algorithm: verl's `config.algorithm` (DictConfig or mapping), or None for all defaults.
        spec: The estimator that the options are for.

    Raises:
        ConfigError: An option is unknown or impossible, or the section is no mapping.
    """
    section = _plain(algorithm.get("gainful") if algorithm is not None else None)
    own = {key: section.pop(key) for key in AdapterOptions.model_fields if key in section}
    adapter = from_mapping(AdapterOptions, own, where=SECTION, owner="the verl adapter")
    return adapter, from_mapping(
        spec.config_cls, section, where=SECTION, owner=spec.name, also_known=AdapterOptions.model_fields
    )


def _plain(section: Any) -> dict[str, Any]:
    if isinstance(section, DictConfig):
        section = OmegaConf.to_container(section, resolve=True)
    if section is not None and not isinstance(section, Mapping):
        raise ConfigError(f"{SECTION}: must be a mapping such as {{delta: 1.0}}, got {section!r}")
    return {str(key): value for key, value in (section or {}).items()}
