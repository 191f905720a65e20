"""What stock verl needs to train on a machine without a GPU. Not a part of `gainful`, and not for real work.

verl loads this package in each of its processes when VERL_USE_EXTERNAL_MODULES=verl_on_cpu is set and the folder
above is on PYTHONPATH. It does nothing unless VERL_PLATFORM=cpu is set as well.
"""

import os

_TORCH_RENDEZVOUS = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
"""In the environment of the processes that train, and of no other."""

if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
    from . import cpu_platform  # noqa: F401

    if os.environ.keys() >= _TORCH_RENDEZVOUS:
        from . import engines  # noqa: F401
