"""Our own methods, registered like anybody's. Importing this module imports no method and no torch."""

from importlib.util import find_spec

from gainful.errors import MissingExtraError
from gainful.hookspecs import RegisterAdvantage, hookimpl

__all__ = ["register_advantages"]


@hookimpl
def register_advantages(register: RegisterAdvantage) -> None:
    """Offer the estimators of `gainful.advantage`."""
    if find_spec("torch") is None:
        raise MissingExtraError(
            "advantage estimators need torch, which comes with the host; pip install 'gainful[verl]'"
        )
    from gainful import advantage

    register(
        "agpo",
        advantage.agpo,
        config=advantage.AgpoConfig,
        source="AGPO, arXiv 2605.05826",
        evidence="[PA] idea, [S2] formula, [OD] constants",
        difference="population variance, delta, negative_reward and the reward map are our choice",
        optional=("success",),
        tier=1,
        keeps_all_wrong=True,
        maps_reward=True,
        reward_range=(0.0, 1.0),
        metrics=advantage.agpo_metrics,
    )
    register(
        "psr",
        advantage.psr,
        config=advantage.PsrConfig,
        source="arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
        evidence="[P] formula, [AC] dropped class, [OD] denominator",
        difference="wrong responses stay in the batch with advantage 0 unless denominator is subset",
        optional=("success",),
        tier=1,
        scope="row",
        maps_reward=True,
    )
    register(
        "nsr",
        advantage.nsr,
        config=advantage.NsrConfig,
        source="arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
        evidence="[P] formula, [AC] dropped class, [OD] denominator",
        difference="right responses stay in the batch with advantage 0 unless denominator is subset",
        optional=("success",),
        tier=1,
        scope="row",
        keeps_all_wrong=True,
        maps_reward=True,
    )
    register(
        "w_reinforce",
        advantage.w_reinforce,
        config=advantage.WReinforceConfig,
        source="arXiv 2506.01347, TianHongZXY/RLVR-Decomposed",
        evidence="[P] formula and weight",
        difference="none known",
        optional=("success",),
        tier=1,
        scope="row",
        keeps_all_wrong=True,
        maps_reward=True,
    )
