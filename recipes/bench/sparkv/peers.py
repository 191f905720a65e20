"""vLLM's own connectors for a store beside the engine, and LMCache: each is tried, and what became of it is kept.

LMCache's connector with a server of its own is timed instead, in `peer_timing.py`, where LMCache is installed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines import Engine, EngineError, environment, llm_arguments
from lmcache_peer import variables
from models import model_folder
from settings import Condition, Setup

SETUP = Setup("tiny", "float32", (Condition(1024),), (), 1, multiprocess=False)
CONNECTORS: Mapping[str, dict[str, Any]] = {
    "OffloadingConnector": {"cpu_bytes_to_use": 1 << 28, "block_size": 128},
    "SimpleCPUOffloadConnector": {"cpu_bytes_to_use": 1 << 28},
    "LMCacheConnectorV1": {},
}
TIMED = "LMCacheMPConnector"
ERROR = re.compile(r"(?:^|\] |\]: )(\w*(?:Error|Exception): .*)$")
NO_BACKEND = re.compile(r"No supported \w+ connector found")
"""LMCache says so and goes on without itself."""


def try_all(bases: Path, folder: Path, installed: Path) -> dict[str, str]:
    """Connector -> `runs`, or the error that it ends with."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model_folder(bases.resolve(), SETUP.model)
    environ = {**environment(SETUP, folder), **(variables(installed) if installed.exists() else {})}
    return {name: _try(name, extra, model, environ, folder) for name, extra in CONNECTORS.items()}


def _try(name: str, extra: dict[str, Any], model: Path, environ: dict[str, str], folder: Path) -> str:
    arguments = llm_arguments("whole", SETUP, model, "memory://", folder)
    arguments["kv_transfer_config"] = {
        "kv_connector": name,
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": extra,
    }
    engine = Engine(name, arguments, environ, folder)
    try:
        engine.wait_until_ready()
        engine.generate([list(range(3, 1000))], None, 4, max_seconds=120.0)
        return without_backend(engine.log_file.read_text(errors="replace")) or "runs"
    except EngineError as error:
        return last_error(engine.log_file.read_text(errors="replace")) or str(error).splitlines()[0]
    finally:
        engine.close()


def without_backend(log: str) -> str:
    """What a connector that loads and saves nothing says of itself; empty if it does not."""
    found = NO_BACKEND.search(log)
    return f"runs, and loads nothing: {found[0]}" if found else ""


def last_error(log: str) -> str:
    """The last line that names an exception other than those that only report another one; empty if there is none."""
    found = [match[1] for line in log.splitlines() if (match := ERROR.search(line))]
    causes = [line for line in found if "core initialization failed" not in line and "EngineDead" not in line]
    return causes[-1][:300] if causes else ""
