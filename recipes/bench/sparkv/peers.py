"""vLLM's own connectors for a store beside the engine, and LMCache: each is tried, and what became of it is kept."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines import Engine, EngineError, environment, llm_arguments
from models import model_folder
from settings import Condition, Setup

SETUP = Setup("tiny", "float32", (Condition(1024),), (), 1, multiprocess=False)
CONNECTORS: Mapping[str, dict[str, Any]] = {
    "OffloadingConnector": {"cpu_bytes_to_use": 1 << 28, "block_size": 128},
    "SimpleCPUOffloadConnector": {"cpu_bytes_to_use": 1 << 28},
    "LMCacheConnectorV1": {},
    "LMCacheMPConnector": {},
}
ERROR = re.compile(r"(?:^|\] |\]: )(\w*(?:Error|Exception): .*)$")


def try_all(bases: Path, folder: Path) -> dict[str, str]:
    """Connector -> `runs`, or the error that it ends with."""
    folder.mkdir(parents=True, exist_ok=True)
    model = model_folder(bases.resolve(), SETUP.model)
    return {name: _try(name, extra, model, folder) for name, extra in CONNECTORS.items()}


def _try(name: str, extra: dict[str, Any], model: Path, folder: Path) -> str:
    arguments = llm_arguments("whole", SETUP, model, "memory://", folder)
    arguments["kv_transfer_config"] = {
        "kv_connector": name,
        "kv_role": "kv_both",
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": extra,
    }
    engine = Engine(name, arguments, environment(SETUP, folder), folder)
    try:
        engine.wait_until_ready()
        engine.generate([list(range(3, 1000))], None, 4, max_seconds=120.0)
        return "runs"
    except EngineError as error:
        return last_error(engine.log_file.read_text(errors="replace")) or str(error).splitlines()[0]
    finally:
        engine.close()


def last_error(log: str) -> str:
    """The last line that names an exception other than those that only report another one; empty if there is none."""
    found = [match[1] for line in log.splitlines() if (match := ERROR.search(line))]
    causes = [line for line in found if "core initialization failed" not in line and "EngineDead" not in line]
    return causes[-1][:300] if causes else ""
