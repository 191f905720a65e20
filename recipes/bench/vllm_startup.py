"""What gainful adds to the start of a vLLM server that does not use it.

    python recipes/bench/vllm_startup.py

In fresh processes, after everything that a server imports anyway: loading the entry point and calling it, as vLLM does
once in each of its processes.
"""

import argparse
import statistics
import subprocess
import sys

from rich.console import Console
from rich.progress import track

LIMIT_SECONDS = 0.100
CODE = """
import time
from importlib.metadata import entry_points
import vllm.engine.arg_utils, vllm.v1.engine.core
import vllm.distributed.kv_transfer.kv_connector.factory
point, = entry_points(group="vllm.general_plugins", name="gainful")
start = time.perf_counter()
point.load()()
print(time.perf_counter() - start)
"""


def added_seconds() -> float:
    """Seconds in one process."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    console = Console(width=120)
    found = [added_seconds() for _ in track(range(repeats), "vLLM", console=console, transient=True)]
    median = statistics.median(found)
    console.print(
        f"loading and calling the entry point: median {1e3 * median:.0f} ms, worst {1e3 * max(found):.0f} ms "
        f"of {repeats} (limit {1e3 * LIMIT_SECONDS:.0f} ms)",
        highlight=False,
    )
    return 0 if median <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
