"""What stock verl needs to train on a machine without a GPU. Not a part of `gainful`, and not for real work.

verl loads this package in each of its processes when VERL_USE_EXTERNAL_MODULES=verl_on_cpu is set and the folder
above is on PYTHONPATH. It does nothing unless VERL_PLATFORM=cpu is set as well.
"""

import os

if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
    from . import cpu_platform  # noqa: F401

    if os.environ.get("WG_BACKEND") == "ray":  # verl sets it in the processes that train
        from . import engines  # noqa: F401
