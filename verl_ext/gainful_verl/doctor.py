"""What `gainful doctor verl` asks in a fresh interpreter: does verl's own look-up find our estimators?"""

import os
from collections.abc import Iterator

from gainful.doctor import Finding, answer

__all__ = ["findings"]

POLICY_VARIABLE = "VERL_USE_EXTERNAL_PLUGINS"


def findings() -> Iterator[Finding]:
    """Import verl as a run does, and compare its table with the catalogue."""
    import verl.trainer.ppo.core_algos  # noqa: F401  (its import is what makes verl load us and us register)

    from gainful_verl.adapt import as_verl
    from gainful_verl.lookup import holder
    from gainful_verl.modes import MODES
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
            route = f"algorithm.adv_estimator={name} trainer.v1.trainer_mode={next(iter(MODES))}"
            yield Finding(name, "ok", f"{route}, needs {', '.join(spec.needs)}")
        else:
            yield Finding(name, "ok", f"algorithm.adv_estimator={name}")


if __name__ == "__main__":
    answer(findings())
