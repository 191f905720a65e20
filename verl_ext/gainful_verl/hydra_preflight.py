"""Has hydra run our check between composing a verl configuration and starting the run.

verl shows an estimator its configuration only when the first advantage is due, after models were loaded and a whole
rollout was paid for. Hydra offers both halves of a better moment: a search path plug-in may provide `hydra/env`, the
group for settings of the environment, and a callback named there sees the configuration before the main program does.
"""

import logging
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.plugins.search_path_plugin import SearchPathPlugin

from gainful.errors import GainfulError
from gainful_verl.preflight import check_run
from gainful_verl.register import register

__all__ = ["GainfulSearchPath", "Preflight", "install"]

logger = logging.getLogger("gainful.verl")


class Preflight(Callback):
    """Named in `hydra_env/hydra/env/default.yaml`; hydra calls it once per run, in the driver."""

    def on_job_start(self, config: Any, **_unused: Any) -> None:
        try:
            check_run(config, register())
        except GainfulError as error:
            # hydra turns every Exception of a callback into a warning
            raise SystemExit(f"{type(error).__name__}: {error}") from error


class GainfulSearchPath(SearchPathPlugin):
    """Lets hydra find `hydra_env` before its own, empty `hydra/env/default`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.prepend("gainful", "pkg://gainful_verl.hydra_env")


def install() -> None:
    """Called in the driver, before hydra composes."""
    Plugins.instance().register(GainfulSearchPath)
