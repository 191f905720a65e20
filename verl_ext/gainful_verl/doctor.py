"""What `gainful doctor verl` asks in a fresh interpreter: does verl's own look-up find our estimators?"""

import os
from collections.abc import Iterator

from gainful.doctor import Finding, answer

__all__ = ["findings"]

POLICY_VARIABLE = "VERL_USE_EXTERNAL_PLUGINS"


def findings() -> Iterator[Finding]:
    """Import verl as a run does, and compare its table with the catalogue."""
    import verl  # noqa: F401  (its import is what loads the plug-in)
    from gainful.catalog import catalog
    from verl.trainer.ppo.core_algos import get_adv_estimator_fn

    from gainful_verl.adapt import as_verl

    policy = os.environ.get(POLICY_VARIABLE, "auto").strip().lower()
    if policy != "auto" and "gainful" not in policy.split(","):
        yield Finding(
            "estimators",
            "problem",
            f"{POLICY_VARIABLE}={policy} keeps verl from loading gainful",
            f"unset {POLICY_VARIABLE}, or add gainful to its list",
        )
        return
    for name, spec in catalog().advantages.items():
        try:
            ours = get_adv_estimator_fn(name) is as_verl(spec)
        except ValueError:  # how verl says that it knows no such name
            yield Finding(name, "problem", "verl's look-up does not find it", "read the ERROR lines of `import verl`")
            continue
        if spec.needs:
            detail = f"registered, refused at start: verl passes no {', '.join(spec.needs)}"
            yield Finding(name, "note", detail)
        elif ours:
            yield Finding(name, "ok", f"algorithm.adv_estimator={name}")
        else:
            detail = f"verl has its own {name!r}; use algorithm.adv_estimator=gainful_{name}"
            yield Finding(name, "note", detail)


if __name__ == "__main__":
    answer(findings())
