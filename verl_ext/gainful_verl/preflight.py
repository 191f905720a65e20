"""What cannot work is refused before a run costs anything: `check` knows which settings of verl break which method.

Called by the hydra callback before Ray starts, by the command `python -m gainful_verl.preflight`, and, as a last line
of defence, whenever verl calls an estimator.
"""

import logging
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from gainful.catalog import EstimatorSpec, catalog
from gainful.errors import ConfigError, GainfulError, MissingInputError, did_you_mean
from gainful.specs import SIGNALS
from gainful_verl.lookup import holder
from gainful_verl.modes import MODES
from gainful_verl.options import SECTION, read

__all__ = ["PASSED", "check", "check_run", "main"]

logger = logging.getLogger("gainful.verl")

PASSED = ("token_level_rewards", "response_mask", "config", "index")
"""What verl passes to an estimator that is registered by name."""


def check(algorithm: Any, spec: EstimatorSpec, carried: Collection[str] = ()) -> None:
    """Refuse options and settings of `config.algorithm` under which `spec` would compute something else.

    Args:
        algorithm: verl's `config.algorithm`, or None.
        spec: The chosen estimator.
        carried: Signals that the trainer hands over.

    Raises:
        MissingInputError: The estimator needs a signal that nobody hands over.
        ConfigError: A setting of verl contradicts the method; names the key to change.
    """
    missing = [name for name in spec.needs if name not in carried]
    if missing:
        raise MissingInputError(_no_signal(spec, missing))
    reasons = list(_refusals(algorithm if algorithm is not None else {}, spec))
    if reasons:
        raise ConfigError(f"gainful: estimator {spec.name!r} refuses this configuration: {'; '.join(reasons)}")


def _no_signal(spec: EstimatorSpec, missing: Sequence[str]) -> str:
    fitting = [other.name for other in catalog().advantages.values() if not other.needs]
    signals = ", ".join(f"{name!r} {SIGNALS.get(name, '')}".rstrip() for name in missing)
    return (
        f"gainful: estimator {spec.name!r} needs signal {signals}; verl {version('verl')} passes only "
        f"{', '.join(PASSED)}. Use trainer.v1.trainer_mode={next(iter(MODES))}, which carries signals, or choose one "
        f"of {', '.join(fitting)}"
    )


def _carried_by(config: Any, spec: EstimatorSpec) -> Collection[str]:
    """The signals that the trainer of a run will hand over; what an agent loop adds shows at the first update only."""
    if not _get(config, "trainer", "use_v1") or _get(config, "trainer", "v1", "trainer_mode") not in MODES:
        return ()
    bypass = _get(config, "algorithm", "rollout_correction", "bypass_mode")
    if bypass and "entropy" in spec.needs:
        raise ConfigError(
            f"gainful: estimator {spec.name!r} needs the entropy, which verl computes with the old log-probabilities, "
            "and algorithm.rollout_correction.bypass_mode=true skips both; set it to false"
        )
    return spec.needs


def _refusals(algorithm: Any, spec: EstimatorSpec) -> Iterator[str]:
    if spec.keeps_all_wrong and _get(algorithm, "filter_groups", "enable"):
        yield (
            "it learns from groups without a right response, and algorithm.filter_groups.enable=true drops them; "
            "set algorithm.filter_groups.enable=false"
        )
    if spec.maps_reward and _get(algorithm, "use_kl_in_reward"):
        yield (
            "it reads the row sum as the outcome, and algorithm.use_kl_in_reward=true adds a penalty to it; set "
            "algorithm.use_kl_in_reward=false and, for a penalty, actor_rollout_ref.actor.use_kl_loss=true"
        )
    rejection = _get(algorithm, "rollout_correction", "rollout_rs")
    if spec.level == "turn" and "token_k" in str(rejection):
        yield (
            f"it finds turns in the response mask, and algorithm.rollout_correction.rollout_rs={rejection} cuts "
            "tokens out of it; choose a seq_* option or null"
        )


def _get(section: Any, *path: str) -> Any:
    """The value at a path of nested mappings; None where the path ends early."""
    for key in path:
        if section is None:
            return None
        section = section.get(key)
    return section


def check_run(config: Any, known: Mapping[str, EstimatorSpec]) -> EstimatorSpec | None:
    """Check a whole verl configuration.

    Args:
        config: The composed configuration of a verl main program.
        known: Names in verl's table that are ours, from `register.registered()`.

    Returns:
        The chosen estimator, or None if the run uses none of ours.

    Raises:
        MissingInputError, ConfigError: As `check` and `options.read` do; also if `algorithm.gainful` is set for an
            estimator that is not ours.
    """
    algorithm = config.get("algorithm")
    if algorithm is None or algorithm.get("adv_estimator") is None:
        return None  # hydra composed something else than a run of verl
    name = str(getattr(algorithm.adv_estimator, "value", algorithm.adv_estimator))
    spec = known.get(name)
    if spec is not None:
        check(algorithm, spec, _carried_by(config, spec))
        read(algorithm, spec)
        _check_gains(config, spec)
    elif algorithm.get("gainful") is not None:
        raise ConfigError(
            f"{SECTION} is set, but algorithm.adv_estimator={name} is not an estimator of gainful, so nothing would "
            f"read it{did_you_mean(name, known) or ';'} remove it or choose one of {', '.join(known)}"
        )
    elif did_you_mean(name, known) and holder(name) is None:
        # no error: a module that verl loads later may still register it
        logger.warning(
            "gainful: neither verl nor gainful knows algorithm.adv_estimator=%s%s verl stops at the first advantage, "
            "unless a module of yours registers it",
            name,
            did_you_mean(name, known),
        )
    return spec


def _check_gains(config: Any, spec: EstimatorSpec) -> None:
    if spec.name == "info_gain" and config.get("actor_rollout_ref") is not None:
        from gainful_verl.gain_preflight import check_gains

        check_gains(config)


def main() -> None:
    """`python -m gainful_verl.preflight ...` with the arguments of `python -m verl.trainer.main_ppo`: a dry run.

    Composes the configuration, checks it and prints what would be used; starts nothing and writes nothing.
    """
    import hydra

    sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"]
    hydra.main(config_path="pkg://verl.trainer.config", config_name="ppo_trainer", version_base=None)(_show)()


def _show(config: Any) -> None:
    from gainful_verl.register import register

    try:
        spec = check_run(config, register())
    except GainfulError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    if spec is None:
        print(
            f"algorithm.adv_estimator={config.algorithm.adv_estimator}: not an estimator of gainful, nothing to check"
        )
        return
    adapter, options = read(config.algorithm, spec)
    print(f"algorithm.adv_estimator={config.algorithm.adv_estimator}: {spec.source}")
    for key, value in {**options.model_dump(), **adapter.model_dump()}.items():
        print(f"{SECTION}.{key}={value}")


if __name__ == "__main__":
    main()
