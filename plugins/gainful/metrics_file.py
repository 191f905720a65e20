"""Lines of metrics, for hosts that give a plug-in no channel of its own."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["MetricsFile"]


class MetricsFile:
    """JSON lines in a folder, one file for each process, so that no two write to the same."""

    def __init__(self, folder: str, kind: str) -> None:
        self._path = Path(folder) / f"{kind}-{socket.gethostname()}-{os.getpid()}.jsonl"
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
