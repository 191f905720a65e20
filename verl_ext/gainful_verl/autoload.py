"""What verl loads through its entry point group `verl.plugins`, at the end of `import verl`, in every process.

Kept cheap: nothing of the catalogue is built and nothing of verl imported before verl itself imports the modules
named below. verl loads this module once, never calls it, and swallows its errors at DEBUG; so they are logged at
ERROR here, then raised again.
"""

import logging

logger = logging.getLogger("gainful.verl")

REGISTRY_MODULE = "verl.trainer.ppo.core_algos"
"""Holds verl's table of estimators; whoever computes an advantage has imported it."""
TRAINERS_MODULE = "verl.trainer.ppo.v1"
"""Holds verl's table of trainers; imported where one of them is about to be looked up."""
LOOPS_MODULE = "verl.experimental.agent_loop.tool_agent_loop"
"""Holds verl's tool agent; imported by whoever runs agent loops."""
DRIVER_MODULE = "verl.trainer.constants_ppo"
"""Imported by verl's main programs before hydra composes their configuration, and by no worker."""


def _register(_module: object) -> None:
    """Runs when verl has imported its table. An error here would end runs that use none of our methods: log it."""
    try:
        from gainful_verl.register import register

        register()
    except Exception:
        logger.exception("gainful: no advantage estimator was registered in verl; 'gainful doctor verl' says more")


def _add_trainers(_module: object) -> None:
    try:
        import gainful_verl.trainer  # noqa: F401  (its import registers)
    except Exception:
        logger.exception("gainful: no trainer mode was registered in verl; 'gainful doctor verl' says more")


def _add_loops(_module: object) -> None:
    try:
        import gainful_verl.agent_loop  # noqa: F401  (its import registers)
    except Exception:
        logger.exception("gainful: no agent loop was registered in verl; 'gainful doctor verl' says more")


def _watch_driver(_module: object) -> None:
    try:
        from gainful_verl.hydra_preflight import install

        install()
    except Exception:
        logger.exception("gainful: the check of algorithm.gainful before a run is not installed")


try:
    from wrapt import register_post_import_hook

    from gainful import hosts

    hosts.require("verl")
    register_post_import_hook(_register, REGISTRY_MODULE)
    register_post_import_hook(_add_trainers, TRAINERS_MODULE)
    register_post_import_hook(_add_loops, LOOPS_MODULE)
    register_post_import_hook(_watch_driver, DRIVER_MODULE)
except Exception:
    logger.exception("gainful is not available in verl; 'gainful doctor verl' says more")
    raise
