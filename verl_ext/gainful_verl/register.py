"""Puts every estimator of the catalogue, and our policy losses, into verl's own tables, once per process.

verl's table is imported inside the functions: its import is what makes `autoload` import this module.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType

from gainful.catalog import EstimatorSpec, catalog
from gainful.errors import MissingExtraError
from gainful_verl.adapt import as_verl
from gainful_verl.lookup import holder
from gainful_verl.policy_loss import register_losses

__all__ = ["register", "registered"]

logger = logging.getLogger("gainful.verl")

_registered: dict[str, EstimatorSpec] = {}


def registered() -> Mapping[str, EstimatorSpec]:
    """What `register` put into verl's table: the name users write -> the estimator."""
    return MappingProxyType(_registered)


def register() -> Mapping[str, EstimatorSpec]:
    """Register all estimators; a second call changes nothing.

    A name that verl or another plug-in already holds is left alone: ours becomes `gainful_<name>`. An estimator that
    needs more than verl passes is registered too, so that choosing it gives our message and not "unknown".
    """
    if _registered:
        return registered()
    from verl.trainer.ppo.core_algos import register_adv_est

    if _registered:  # that import was verl's first, and `autoload` has answered it
        return registered()
    for failure in catalog().failures:
        if not isinstance(failure.error, MissingExtraError):
            logger.error("gainful: %s; its names are not registered in verl", failure)
    for spec in catalog().advantages.values():
        name = _free_name(spec.name)
        register_adv_est(name)(as_verl(spec))
        _registered[name] = spec
    register_losses()
    logger.info("gainful: registered in verl: %s", ", ".join(_registered))
    return registered()


def _free_name(name: str) -> str:
    taken_by = holder(name)
    if taken_by is None:
        return name
    ours = f"gainful_{name}"
    logger.warning(
        "gainful: verl already has an estimator %r (%s.%s); gainful's is registered as %r",
        name,
        taken_by.__module__,
        taken_by.__qualname__,
        ours,
    )
    return ours
