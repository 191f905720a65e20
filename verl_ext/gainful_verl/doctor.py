"""What `gainful doctor verl` asks in a fresh interpreter: does verl's own look-up find our estimators?"""

import os
from collections.abc import Iterator

from gainful.doctor import Finding, answer
from gainful_verl.loop_names import INFO_GAIN_LOOP
from gainful_verl.modes import MODES

__all__ = ["findings"]

POLICY_VARIABLE = "VERL_USE_EXTERNAL_PLUGINS"


def findings() -> Iterator[Finding]:
    """Import verl as a run does, and compare its table with the catalogue."""
    import verl.trainer.ppo.core_algos  # noqa: F401  (its import is what makes verl load us and us register)

    from gainful_verl.adapt import as_verl
    from gainful_verl.lookup import holder
    from gainful_verl.register import registered

    policy = os.environ.get(POLICY_VARIABLE, "auto").strip().lower()
    if policy != "auto" and "gainful" not in policy.split(","):
        yield Finding(
            "estimators",
            "problem",
            f"{POLICY_VARIABLE}={policy} keeps verl from loading gainful",
            f"unset {POLICY_VARIABLE}, or add gainful to its list",
        )
        return
    if not registered():
        yield Finding(
            "estimators", "problem", "verl loaded gainful and nothing was registered", "python -c 'import verl'"
        )
    for name, spec in registered().items():
        if holder(name) is not as_verl(spec):
            yield Finding(name, "problem", f"verl's look-up finds another function: {holder(name)}", "")
        elif spec.needs:
            yield Finding(name, "ok", f"algorithm.adv_estimator={name}, under a trainer mode below")
        else:
            yield Finding(name, "ok", f"algorithm.adv_estimator={name}")
    yield from _losses()
    yield from _trainer_modes()
    yield _agent_loop()


def _agent_loop() -> Finding:
    """The loop that probes; verl looks it up by name, and makes its import when it imports its own."""
    try:
        import verl.experimental.agent_loop  # noqa: F401

        from gainful_verl.agent_loop import InfoGainToolLoop  # noqa: F401
    except ImportError as error:
        return Finding(
            INFO_GAIN_LOOP,
            "problem",
            f"verl's agent loops cannot be imported: {error}",
            "pip install 'verl[verl-core]'",
        )
    return Finding(INFO_GAIN_LOOP, "ok", f"actor_rollout_ref.rollout.agent.default_agent_loop={INFO_GAIN_LOOP}")


def _losses() -> Iterator[Finding]:
    from verl.trainer.ppo.core_algos import get_policy_loss_fn

    from gainful_verl.policy_loss import LOSSES

    for name, loss in LOSSES.items():
        found = get_policy_loss_fn(name)
        if found is loss:
            yield Finding(name, "ok", f"actor_rollout_ref.actor.policy_loss.loss_mode={name}")
        else:
            yield Finding(name, "note", f"verl has one of this name; ours is loss_mode=gainful_{name}")


def _trainer_modes() -> Iterator[Finding]:
    """Trainer modes, which carry signals; looked up as verl's main program does."""
    try:
        from verl.trainer.ppo.v1 import get_trainer_cls
    except ImportError as error:
        yield Finding("trainer modes", "problem", f"verl's own trainers cannot be imported: {error}", "pip check")
        return
    for name in MODES:
        try:
            get_trainer_cls(name)
        except ValueError as error:
            yield Finding(name, "problem", str(error), "python -c 'import verl.trainer.ppo.v1'")
        else:
            yield Finding(name, "ok", f"trainer.v1.trainer_mode={name}")


if __name__ == "__main__":
    answer(findings())
