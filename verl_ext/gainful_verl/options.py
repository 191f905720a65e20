"""`algorithm.gainful` of verl's configuration -> frozen option sets."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gainful.catalog import EstimatorSpec
from gainful.config import Options, from_mapping
from gainful.errors import ConfigError

__all__ = ["SECTION", "AdapterOptions", "plain_section", "read"]

SECTION = "algorithm.gainful"


class AdapterOptions(Options):
    """Options of the adapter itself, beside those of the chosen estimator."""

    log_stats: bool = False
    """One log line per update with the statistics of `gainful.advantage.diagnostics`."""
    metrics_path: str | None = None
    """Folder for the same statistics, one JSON line per update."""

    @property
    def reports(self) -> bool:
        """Whether statistics are wanted."""
        return self.log_stats or self.metrics_path is not None


def read(algorithm: Any, spec: EstimatorSpec) -> tuple[AdapterOptions, Options]:
    """Read the section of an estimator.

    Args:
        algorithm: verl's `config.algorithm` (DictConfig or mapping), or None for all defaults.
        spec: The estimator that the options are for.

    Raises:
        ConfigError: An option is unknown or impossible, or the section is no mapping.
    """
    section = plain_section(algorithm)
    own = {key: section.pop(key) for key in AdapterOptions.model_fields if key in section}
    if spec.name == "info_gain":
        from gainful_verl.gain_options import credit_section

        section = credit_section(section)
    adapter = from_mapping(AdapterOptions, own, where=SECTION, owner="the verl adapter")
    return adapter, from_mapping(
        spec.config_cls, section, where=SECTION, owner=spec.name, also_known=AdapterOptions.model_fields
    )


def plain_section(algorithm: Any) -> dict[str, Any]:
    """`algorithm.gainful` as a mapping; empty if there is none.

    Raises:
        ConfigError: It is no mapping.
    """
    section = algorithm.get("gainful") if algorithm is not None else None
    if isinstance(section, DictConfig):
        section = OmegaConf.to_container(section, resolve=True)
    if section is not None and not isinstance(section, Mapping):
        raise ConfigError(f"{SECTION}: must be a mapping such as {{delta: 1.0}}, got {section!r}")
    return {str(key): value for key, value in (section or {}).items()}
