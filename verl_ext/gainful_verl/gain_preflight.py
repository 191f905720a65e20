"""Settings of verl under which gains would be lost, or would be wrong."""

import logging
from collections.abc import Iterator
from typing import Any

from gainful.errors import ConfigError
from gainful_verl.gain_options import carries_gains, training_options
from gainful_verl.loop_names import INFO_GAIN_LOOP

__all__ = ["check_gains"]

logger = logging.getLogger("gainful.verl")


def check_gains(config: Any) -> None:
    """Check a whole verl configuration of a run with `info_gain`; others pass.

    Raises:
        ConfigError: A setting would lose the gains; names the key to change.
    """
    if not carries_gains(config.algorithm) or not training_options(config.algorithm).measures:
        return
    reasons = list(_refusals(config))
    if reasons:
        raise ConfigError(f"gainful: estimator 'info_gain' refuses this configuration: {'; '.join(reasons)}")
    for warning in _warnings(config):
        logger.warning("gainful: %s", warning)


def _refusals(config: Any) -> Iterator[str]:
    trainer, model = config.get("trainer") or {}, (config.get("reward") or {}).get("reward_model") or {}
    if not trainer.get("use_v1", True):
        yield "the older trainer adds up the rewards of a row; set trainer.use_v1=true"
    if model.get("enable") and not model.get("enable_resource_pool"):
        yield (
            "a colocated reward model scores rows after their gains were to be added; set "
            "reward.reward_model.enable_resource_pool=true"
        )


def _warnings(config: Any) -> Iterator[str]:
    agent = config.actor_rollout_ref.rollout.agent
    if agent.get("default_agent_loop") != INFO_GAIN_LOOP:
        yield (
            f"the default agent loop is {agent.get('default_agent_loop')}, which carries no gains; unless the data's "
            f"column agent_name says otherwise, this run is plain GRPO. Set actor_rollout_ref.rollout.agent."
            f"default_agent_loop={INFO_GAIN_LOOP}"
        )
    groups = config.algorithm.get("filter_groups") or {}
    if groups.get("enable") and groups.get("metric") in (None, "reward"):
        yield (
            "algorithm.filter_groups drops groups of equal outcome, whose gains may differ; and outcomes that are not "
            "0 or 1 are carried within 1e-5, so name a key of the reward function in algorithm.filter_groups.metric"
        )
