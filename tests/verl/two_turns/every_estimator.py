"""For tests: a trainer mode that takes the next estimator at every step, so that one run tries them all.

Loaded with VERL_USE_EXTERNAL_MODULES; registers once verl has its own trainers.
"""

import itertools

from wrapt import register_post_import_hook

OPTIONS = {"arm": {"alpha": 0.5}, "spae": {"weight": 0.5, "damping": 0.5}}


def _register(_module) -> None:
    from omegaconf import open_dict
    from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer

    from gainful.builtin import ESTIMATORS
    from gainful_verl.trainer import carrying

    class EveryEstimator(carrying(PPOTrainerSync, "sync")):
        """gainful's trainer, with another estimator at every step."""

        names = itertools.cycle(ESTIMATORS)

        def _compute_advantage(self, batch, metrics):
            name = next(self.names)
            with open_dict(self.config):
                self.config.algorithm.adv_estimator = name
                self.config.algorithm.gainful = {"log_stats": True, **OPTIONS.get(name, {})}
            return super()._compute_advantage(batch, metrics)

    register_trainer("every_estimator")(EveryEstimator)


register_post_import_hook(_register, "verl.trainer.ppo.v1")
